"""A strict reader of HTML that we made: each element closed where it belongs, nothing loaded."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "rect", "path"}
OUTSIDE = re.compile(r"(?i)\b(?:src|href|srcset|action|data|poster|background)\b")


class Page(HTMLParser):
    """The elements and the text of a page; `errors` says what is wrong with it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.errors: list[str] = []
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        self.errors += [f"<{tag}> is not closed" for tag in self.open]
        ids = [given["id"] for _, given in self.tags if "id" in given]
        self.errors += ["an id is there twice"] if len(ids) > len(set(ids)) else []
        named = {given["aria-labelledby"] for _, given in self.tags if "aria-labelledby" in given}
        self.errors += [f"nothing has the id {name}" for name in named - set(ids)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) > len(set(names)):
            self.errors.append(f"<{tag}> has an attribute twice")
        if tag in ("script", "iframe", "object", "img", "base"):
            self.errors.append(f"there is a <{tag}>")
        for name, value in attrs:
            if name.startswith("on") or (OUTSIDE.fullmatch(name) and value != "data:,"):
                self.errors.append(f'<{tag} {name}="{value}">')
        if tag == "svg" and not dict(attrs).get("aria-label"):
            self.errors.append("a picture without a label")
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.errors.append(f"<{tag}/>")
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.errors.append(f"a comment: {data}")


def errors_in(text: str) -> list[str]:
    """Return what is wrong with a page or with a part of one."""
    text.encode()
    unescaped = re.sub(r"&(?:amp|lt|gt|quot|#x27);", "", text)
    stray = ["an & that is not escaped"] if "&" in unescaped else []
    return (
        Page(text).errors + stray + ["a control"] * bool(re.search(r"[\x00-\x08\x0e-\x1f]", text))
    )


def text_of(page: str) -> str:
    """Return the text that a page shows."""
    return html.unescape(Page(page).text)
