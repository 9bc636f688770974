"""The page's one style sheet."""

STYLE = """
:root {
  --paper: #f6f4ee; --card: #fffefb; --ink: #1d2125; --soft: #565d66; --line: #d9d5c9;
  --selected: #0a6848; --accepted: #1f5591; --waits: #855300; --rejected: #a8262f;
  --not-needed: #5d646d; --tint: #e3efe8; --refused: #a8262f14; --trough: #e4e0d5;
  --link: #1f5591; color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1c2024; --ink: #e9e6df; --soft: #a8aeb6; --line: #383e45;
    --selected: #63d3a6; --accepted: #8cbcf2; --waits: #e8b95a; --rejected: #f5969b;
    --not-needed: #a8aeb6; --tint: #1b2f28; --refused: #f5969b1a; --trough: #343a41;
    --link: #8cbcf2;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 68rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, "Segoe UI", "Noto Sans", sans-serif;
  overflow-wrap: anywhere;
}
h1, h2, h3, h4 { line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(2.2rem, 7vw, 3.6rem); margin: 0 0 .6rem; letter-spacing: -.02em; }
h2 { font-size: 1.5rem; margin: 3.5rem 0 .8rem; letter-spacing: -.01em; }
h3 { font-size: 1.3rem; margin: 0; }
h4 { font-size: 1rem; margin: 0; }
p { margin: .4rem 0; }
a { color: var(--link); text-underline-offset: .2em; }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid var(--accepted); outline-offset: 3px; border-radius: 3px;
}
.skip {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}
.skip:focus { position: static; width: auto; height: auto; clip-path: none; }
.name { font-family: ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", monospace;
  font-size: .93em; }
h1 .name { font: inherit; }
h1.long { font-size: 1.5rem; letter-spacing: 0; }
.overline { color: var(--soft); font-size: .95rem; margin: 0 0 .4rem; }
.outcome { font-size: 1.3rem; line-height: 1.4; max-width: 46rem; text-wrap: pretty; }
.aside { color: var(--soft); font-size: .92rem; max-width: 48rem; }
.lead { font-size: 1.05rem; }
.nothing { color: var(--rejected); }
dl, dd { margin: 0; }
dt { color: var(--soft); font-size: .85rem; }

.facts { display: grid; grid-template-columns: repeat(3, 1fr); gap: .9rem 2rem;
  margin-top: 1.8rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
p.facts { display: block; margin: .4rem 0; padding: 0; border: 0; color: var(--soft);
  font-size: .85rem; }

table { border-collapse: collapse; width: 100%; font-size: .93rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .5rem; }
th, td { text-align: left; padding: .5rem .7rem .5rem 0; border-bottom: 1px solid var(--line);
  vertical-align: baseline; }
thead th { color: var(--soft); font-weight: 500; font-size: .85rem; vertical-align: bottom; }
tbody th { font-weight: 600; }
.figures { text-align: right; }
td.figures { white-space: nowrap; }
thead th { overflow-wrap: normal; }
.scrolled { overflow-x: auto; }
.scrolled table { min-width: 76rem; }
.drawn td, .drawn th { padding-block: 0; vertical-align: middle;
  border-bottom-color: transparent; }
.drawn thead th { padding-bottom: .4rem; border-bottom-color: var(--line); }
.row { display: block; max-width: 100%; height: auto; }
.pair + table { margin-top: 1.8rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: 1.5rem 3rem; align-items: start; }

.badge { white-space: nowrap; font-size: .85rem; font-weight: 600; color: var(--own);
  border: 1px solid var(--own); border-radius: 1rem; padding: .05rem .6rem .1rem; }
.badge.selected { background: var(--selected); color: var(--card); }
.badge.not-needed, .badge.rejected { border-style: dashed; }
.tier { white-space: nowrap; font-size: .88rem; }
.pips { letter-spacing: .12em; font-size: .75em; color: var(--soft); }
.selected { --own: var(--selected); } .accepted { --own: var(--accepted); }
.waits { --own: var(--waits); } .rejected { --own: var(--rejected); }
.not-needed { --own: var(--not-needed); }

figure { margin: 0; }
.scatter { display: block; width: 100%; height: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; }
.slim { display: none; }
svg text { fill: var(--ink); font-family: system-ui, "Segoe UI", "Noto Sans", sans-serif;
  font-size: 12.5px; }
svg .tick, svg .axis { fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .axis { font-size: 13px; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .label { font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px;
  stroke-linejoin: round; }
svg .gate-label { fill: var(--rejected); paint-order: stroke; stroke: var(--card);
  stroke-width: 3px; }
.grid { stroke: var(--line); fill: none; }
.zero { stroke: var(--soft); fill: none; stroke-width: 1.5; }
.gate { stroke: var(--rejected); stroke-dasharray: 5 4; fill: none; stroke-width: 1.5; }
.refused { fill: var(--refused); }
.front { stroke: var(--selected); stroke-width: 2.5; fill: none; stroke-dasharray: .1 5;
  stroke-linecap: round; }
svg .front-label { fill: var(--selected); }
.reach { stroke: var(--own); stroke-width: 1.5; opacity: .7; fill: none; }
.point { fill: var(--own); stroke: var(--own); stroke-width: 2; }
.point.hollow, .point.waits { fill: var(--card); }
.point.cross, .beyond { fill: none; stroke-width: 2.5; stroke: var(--own, var(--rejected)); }
.ring { fill: none; stroke: var(--own); stroke-width: 1.5; }
.trough { fill: var(--trough); } .fill { fill: var(--soft); }
figcaption { margin-bottom: .5rem; font-weight: 600; }
small { color: var(--soft); font-size: .85em; font-weight: 400; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr));
  gap: 1.4rem; }
figure > small, figcaption small { display: block; }
:is(td, .figures) small { display: block; }
.legend, .chips { list-style: none; display: flex; flex-wrap: wrap; gap: .4rem .6rem; padding: 0;
  margin: .8rem 0 0; }

.target { margin: 1.8rem 0 3rem; }
.ladder { list-style: none; margin: 1.2rem 0 0; padding: 0; }
.rung { position: relative; padding: 0 0 1.6rem 3rem; }
.rung::before { content: ""; position: absolute; left: .97rem; top: 0; bottom: 0; width: 2px;
  background: var(--line); }
.rung:last-child::before { bottom: auto; height: 1rem; }
.rung:first-child::before { top: 1rem; }
.stop { position: absolute; left: 0; top: -.15rem; width: 2rem; height: 2rem; display: grid;
  place-items: center; border-radius: 50%; border: 2px solid var(--own); color: var(--own);
  background: var(--paper); font-weight: 700; line-height: 1; }
.selected > .stop { background: var(--selected); color: var(--card); }
.rung.selected { margin-bottom: 1.6rem; padding: 1rem 1.2rem 1.1rem 3rem; background: var(--tint);
  border-radius: .8rem; }
.rung.selected > .stop { top: .85rem; left: .5rem; width: 1.9rem; height: 1.9rem; }
.rung.selected::before { left: .97rem; top: 100%; bottom: -1.6rem; height: auto; }
.rung.selected:last-child::before { display: none; }
.title { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: center; }
.reason { max-width: 48rem; }
.rank { color: var(--soft); font-size: .85rem; }
.front-mark { font-size: .88rem; color: var(--selected); white-space: nowrap; }
.basis { display: grid; gap: .2rem; margin: .5rem 0 0; max-width: 52rem; }
.basis > div { display: grid; grid-template-columns: 7rem 1fr; gap: .2rem .8rem;
  align-items: baseline; }
.basis dd { font-size: .92rem; }
.spared { padding: 0; margin: .4rem 0 0; list-style: none; font-size: .92rem; }
.spared li { margin: .15rem 0; } .spared span { color: var(--soft); }
.open h3 { margin: 1.8rem 0 .6rem; font-size: 1.1rem; } .open ul { padding-left: 1.2rem; margin: 0; }
details > table { width: calc(100% - 1.1rem); }
.hosts .better { white-space: nowrap; }
dl.figures { display: flex; flex-wrap: wrap; gap: .5rem 1.6rem; text-align: left; margin: .5rem 0;
  font-variant-numeric: tabular-nums; }
.figures svg { margin-left: .6rem; vertical-align: middle; }
.chip { font-size: .85rem; border: 1px solid var(--line); border-radius: .4rem;
  padding: .05rem .5rem; }
.chip.failed { color: var(--rejected); border-color: var(--rejected); }
.chip.not-tried { color: var(--soft); border-style: dashed; }
details { margin: .3rem 0; }
summary { cursor: pointer; color: var(--link); font-size: .92rem; padding: .15rem 0;
  width: fit-content; }
details > :not(summary) { margin-left: 1.1rem; }
details ul { padding-left: 1.2rem; margin-block: .3rem; }
details li, details p { font-size: .92rem; }
.strips { overflow: hidden; }
.strip { display: block; max-width: 100%; }
.strip .even { fill: var(--soft); opacity: .6; } .strip .worse { fill: var(--rejected); }
.strip .better { fill: var(--selected); }
.clip { border-left: 3px solid var(--line); padding: .1rem 0 .1rem .9rem; margin-block: .9rem; }
.clip dl > div { display: grid; grid-template-columns: 7rem 1fr; gap: .2rem .8rem;
  margin: .15rem 0; }
.clip dd { font-size: .92rem; }
span.worse { color: var(--rejected); font-weight: 600; }
span.better { color: var(--selected); font-weight: 600; }
span.even { color: var(--soft); }
del { color: var(--rejected); text-decoration-thickness: 2px; }
ins { color: var(--accepted); text-decoration-thickness: 2px; text-underline-offset: .2em; }
.reading { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr));
  gap: 1.2rem 2.5rem; }
.reading dt { font-size: .95rem; color: var(--ink); font-weight: 600; margin-bottom: .2rem; }
.reading dd { font-size: .92rem; color: var(--soft); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line);
  color: var(--soft);
  font-size: .9rem; }

@media (min-width: 58.01rem), print {
  td[data-label^="worse"] { min-width: clamp(9rem, 20vw, 19rem); }
  .stacked tbody th { min-width: 5.5rem; }
  .drawn tbody th { min-width: 9rem; }

  .drawn tbody tr + tr :is(td, th):not([data-label^="worse"]) {
    border-top: 1px solid var(--line); }
}
@media screen and (max-width: 58rem) {
  .stacked, .stacked tbody, .stacked tr, .stacked td, .stacked tbody th { display: block; }
  .stacked caption { display: block; }
  .stacked thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px;
    overflow: hidden; }
  .stacked thead th { overflow-wrap: anywhere; }
  .stacked tr { padding: .7rem 0; border-top: 1px solid var(--line); }
  .stacked.stacked tbody :is(td, th) { border: 0; padding: .1rem 0; text-align: left;
    white-space: normal; }
  .stacked td { display: grid; grid-template-columns: 8rem 1fr; gap: .5rem; align-items: center; }
  .stacked td small { grid-column: 2; }
  .stacked td.empty { display: none; }
  .stacked td::before { content: attr(data-label); color: var(--soft); font-size: .85rem; }
  .drawn tbody tr { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .8rem; }
  .drawn tbody th, .drawn td[data-label^="worse"] { flex: 0 0 100%; }
  .drawn td { display: block; }
  .drawn td::before { content: none; }
  .drawn td.figures::before { content: attr(data-label) " "; }
  .badge, .tier { justify-self: start; }
}
@media screen and (max-width: 44rem) {
  .facts { grid-template-columns: 1fr 1fr; }
  body { padding: 1.5rem 1rem 3rem; }
  .wide { display: none; } .slim { display: block; }
  .clip dl > div, .basis > div { grid-template-columns: 1fr; gap: 0; margin-bottom: .4rem; }
  .rung { padding-left: 2.6rem; }
}
@media print {
  html { font-size: 9pt; }
  body { max-width: none; padding: 0; }
  h2 { margin-top: 2rem; }
  td[data-label^="worse"] { min-width: 14rem; }
  .charts { grid-template-columns: 1fr 1fr; }
  .skip { display: none; }
  .title, .figures, .clip, tr, figure { break-inside: avoid; }
  h2, h3, .title { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .scrolled { overflow: visible; } .scrolled table { min-width: 0; font-size: 7pt; }
  .badge.selected, .rung.selected, .refused, .selected > .stop { print-color-adjust: exact; }
}
"""
