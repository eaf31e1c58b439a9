"""The style sheet of the page: one column, light and dark, on a phone and on paper."""

from __future__ import annotations

LIGHT = """
--bg:#fff;--soft:#f4f6f8;--line:#dfe3e8;--text:#1a2027;--muted:#57616c;--bad:#b3261e;
--queued:#77828e;--per_host:#b25e00;--rate:#8a5300;--total_rate:#6b4a1b;--pause:#b8443a;
--slow_start:#96750a;--backoff:#96363d;--throttled:#b25e00;--dns:#7a4f9a;--connect:#9663c4;
--tls:#b56bb0;--send:#c2528b;--wait:#2f6fb7;--receive:#16817a;--retry:#b9c1c9;--other:#7d8792;
"""
DARK = """
--bg:#11151a;--soft:#1a2027;--line:#2e3740;--text:#e6eaee;--muted:#9ca7b2;--bad:#ff8a80;
--queued:#8d98a4;--per_host:#e08e35;--rate:#c98f3c;--total_rate:#a9854f;--pause:#e5776c;
--slow_start:#c7a53a;--backoff:#d06a70;--throttled:#e08e35;--dns:#a67fc8;--connect:#b68be0;
--tls:#d08fcb;--send:#e27fae;--wait:#5a9ae0;--receive:#3fb0a6;--retry:#4d5863;--other:#77828e;
"""
COLOURS = (
    *("queued", "per_host", "rate", "total_rate", "pause", "slow_start", "backoff", "throttled"),
    *("dns", "connect", "tls", "send", "wait", "receive", "retry", "other"),
)
"""The limits and phases that have a colour of their own, and the wait between two tries."""

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
font-variant-numeric:tabular-nums}
main,footer{max-width:1080px;margin:0 auto;padding:0 20px}
main{padding-top:28px}
h1{font-size:26px;line-height:1.2;margin:0;letter-spacing:-.01em}
h2{font-size:17px;line-height:1.3;margin:0 0 12px}
h3{font-size:14px;margin:0}
p{margin:0}
.sub,.note,footer{color:var(--muted);font-size:13px}
.sub{margin-top:4px}
section{margin-top:36px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:1px;
margin:20px 0 0;background:var(--line);border:1px solid var(--line);border-radius:8px;
overflow:hidden}
.tiles div{background:var(--bg);padding:10px 14px;min-width:0}
dt{color:var(--muted);font-size:12px}
dd{margin:0;font-size:19px;line-height:1.3;font-weight:600}
dd small{display:block;font-size:12px;font-weight:400;color:var(--muted)}
.bad{color:var(--bad)}
.why{margin-top:20px;background:var(--soft);border-radius:8px;padding:18px 20px}
.why .said{font-size:17px;line-height:1.4;font-weight:600}
.why .advice{margin-top:6px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:20px 36px;
margin-top:18px}
.three{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,280px),1fr));
gap:20px 28px}
.two>div,.three>figure{min-width:0}
.rows{list-style:none;margin:8px 0 0;padding:0}
.rows li{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:0 12px;align-items:baseline;
padding:5px 0;font-size:14px}
.rows .bar{grid-column:1/-1;height:6px;margin-top:2px;background:var(--line);border-radius:3px}
.rows .where{grid-column:1/-1;color:var(--muted);font-size:13px;overflow-wrap:anywhere}
.amount{white-space:nowrap;text-align:right}
.amount small{color:var(--muted);font-size:13px}
svg{display:block;width:100%}
.bar{height:12px;overflow:hidden}
figure{margin:0}
figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 12px;font-size:14px}
figcaption span{color:var(--muted);font-size:13px}
.plot{height:110px;margin-top:6px;border-bottom:1px solid var(--line);background:var(--soft)}
.axis{display:flex;justify-content:space-between;color:var(--muted);font-size:12px;margin-top:3px}
.ok{fill:var(--wait)}.failed{fill:var(--bad)}.open{fill:var(--receive)}
.limit{fill:none;stroke:var(--text);stroke-width:1.5;stroke-dasharray:5 4}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px;flex:none}
.keys{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;color:var(--muted);margin:0 0 10px;
padding:0;list-style:none}
.slow{list-style:none;margin:0;padding:0}
.slow li{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,4fr) minmax(64px,max-content);
gap:2px 16px;align-items:center;padding:7px 0;border-top:1px solid var(--line)}
.url{overflow-wrap:anywhere;font-size:13px;line-height:1.4}
.slow .bar{height:14px}
table{width:100%;border-collapse:collapse;font-size:14px}
th,td{text-align:left;vertical-align:top;padding:6px 16px 6px 0;border-top:1px solid var(--line);
font-weight:400;overflow-wrap:anywhere}
thead th{border-top:0;color:var(--muted);font-size:12px;padding-top:0;overflow-wrap:normal}
th:last-child,td:last-child{padding-right:0}
tbody b{white-space:nowrap}
.n{text-align:right;white-space:nowrap}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
footer{padding-top:28px;padding-bottom:36px}
a{color:inherit}
@media (max-width:640px){
main,footer{padding-left:14px;padding-right:14px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
.slow li{grid-template-columns:minmax(0,1fr) auto}
.slow .bar{grid-column:1/-1;grid-row:2}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,th,td{display:block}
tr{border-top:1px solid var(--line);padding:8px 0}
th,td{border:0;padding:1px 0}
td.n{display:inline-block;text-align:left;margin-right:14px}
td::before{content:attr(data-l) ": ";color:var(--muted);font-size:13px}
}
@media print{
body{font-size:11px}
main,footer{max-width:none;padding:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
figure,li,tr,.why,.tiles{break-inside:avoid}
h2{break-after:avoid}
}
"""

STYLE = "".join(
    [
        f":root{{color-scheme:light dark;{LIGHT}}}",
        f"@media screen and (prefers-color-scheme:dark){{:root{{{DARK}}}}}",
        _RULES,
        *(f".p-{name}{{fill:var(--{name});background:var(--{name})}}" for name in COLOURS),
    ]
).replace("\n", "")
"""The style sheet."""
