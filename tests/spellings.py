"""URLs with a user name and a password, well-formed and misspelt in every way we could think of."""

from __future__ import annotations

import itertools

SECRET = "S3cr3t"
HOST = "host.test"

STARTS = [
    *("http://", "https://", "HTTP://", "//", "", "/", "ftp://", "ws://"),
    *("http:/", "https:/", "http:", "http:///", "http:////", "http/", "http//", "://", ":"),
    *("http:\\\\", "http:\\", "http:/\\", "\\\\", "http:\\/", "http:\\/\\/"),
    *("http://\t", "http:// ", "http:/ /", "http: //", "http ://", " http://", "h ttp://"),
    *("http:\n//", "http:/\n/", "http://\r\n", "http://\x00", "http://\x0b", "http://\u00a0"),
    *("htp://", "ttp://", "hhttp://", "http;//", "http.//", "http,//", "http:://", "http//:"),
    *("http:%2F%2F", "http%3A//", "http%3A%2F%2F", "\thttp:// "),
    *("http:\uff0f\uff0f", "\uff48ttp://", "http\uff1a//"),
    *("http://http://", "<http://", "'http://", '"http://', "(http://", "url=http://"),
    *("http://[", "mailto:"),
]
USERS = [
    *("joe:{}", "{}", "{}:pw", ":{}", "joe:{}:x", "joe :{}", "joe%3A{}"),
    *("joe\uff1a{}", "j\u00f6e:{}"),
]
TAILS = [
    *("", "/2", "?2", "#2", "\\2", " 2", "\t2", "@2", "%2F2", "%402", "'2", '"2', "[2", "<2"),
    *("\u00e92", "\ud800", "/2?3#4", "//2", "/..", "\uff0f2", "\n2", "\x00"),
]
ATS = ["@", "%40", "\uff20", "\ufe6b", " @", "@ ", "@@"]
ENDS = ["/", "", ":80/", ":x/", "/a b", "/\ud800", ":99999/", " /"]


def misspelt() -> list[str]:
    """Return spellings in which one thing, or two, are not as they should be."""
    default = ("http://", "joe:{}", "", "@", "/")
    tables = (STARTS, USERS, TAILS, ATS, ENDS)
    found = []
    for one, two in itertools.combinations(range(len(tables)), 2):
        for here, there in itertools.product(tables[one], tables[two]):
            parts = list(default)
            parts[one], parts[two] = here, there
            start, user, tail, at, end = parts
            found.append(f"{start}{user.format(SECRET)}{tail}{at}{HOST}{end}")
    return [each for each in dict.fromkeys(found) if not _is_well_formed(each)]


def _is_well_formed(url: str) -> bool:
    """Whether the secret is the host of a URL, or a part of a path, and so is none."""
    bare = url.strip("".join(map(chr, range(33))))
    if bare.startswith(f"/{SECRET}") and ":" not in bare.partition("@")[0]:
        return True
    scheme, slashes, rest = bare.partition("//")
    authority = rest.replace("?", "/").replace("#", "/").partition("/")[0]
    is_scheme = scheme == "" or (scheme[:-1].isalpha() and scheme.endswith(":"))
    return bool(slashes) and is_scheme and authority == SECRET
