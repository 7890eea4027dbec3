"""How the status page looks, and the header that allows it this and nothing else."""

import base64
import hashlib

STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1c2330; --quiet: #667085;
  --line: #e4e7ec; --good: #067647; --good-back: #dcfae6; --bad: #b42318; --bad-back: #fee4e2;
  --warn: #93590a; --accent: #3538cd; }
@media (prefers-color-scheme: dark) { :root { --back: #10141b; --card: #181e28; --text: #e6e9ef;
  --quiet: #98a2b3; --line: #2a3240; --good: #75e0a7; --good-back: #053321; --bad: #fda29b;
  --bad-back: #55160c; --warn: #fec84b; --accent: #a4bcfd; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1.25rem 3rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; display: grid; gap: 1.25rem; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; }
h1 { font-size: 1.4rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1rem; margin: 0 0 .75rem; }
h2 small { font-weight: 400; margin-left: .5rem; }
.pill { padding: .15rem .75rem; border-radius: 1rem; font-weight: 600; font-size: .85rem; }
.pill.good { color: var(--good); background: var(--good-back); }
.pill.bad { color: var(--bad); background: var(--bad-back); }
.quiet, small { color: var(--quiet); font-size: .85rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.litellm { color: var(--accent); font-weight: 600; }
nav { margin-left: auto; display: flex; gap: 1rem; font-size: .9rem; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  padding: 1.1rem 1.25rem; overflow-x: auto; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  background: none; border: 0; padding: 0; }
.numbers div { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  padding: .8rem 1.1rem; }
.numbers b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem 1.25rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tr:last-child > * { border-bottom: 0; }
th { font-size: .8rem; color: var(--quiet); font-weight: 500; white-space: nowrap; }
td { white-space: nowrap; }
td.name { white-space: normal; overflow-wrap: anywhere; min-width: 10rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code, .settings td { font: .85rem/1.5 ui-monospace, monospace; }
.settings { margin-top: 1.25rem; }
.settings td { white-space: normal; overflow-wrap: anywhere; }
.settings td:first-child { white-space: nowrap; width: 1%; }
tr.default td { color: var(--quiet); }
ul { margin: .5rem 0 0; padding-left: 1.25rem; }
p { margin: 0; } table + p { margin-top: .75rem; }
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's style and nothing else, and nobody may put the page into a frame."""
