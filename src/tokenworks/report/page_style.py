"""Style and script of the HTML report."""

DARK = (
    "--bg:#15171a;--fg:#e8e8e4;--dim:#9aa0a8;--line:#33373d;--card:#1d2024;--good:#4cc38a;--warn:#e0b040;--bad:#ff8a80;"
    "--c0:#6ea8e8;--c1:#f0a050;--c2:#4fd1c5;--c3:#c98ade;--c4:#d9c34a;--c5:#757b84;--c6:#4a4f57;color-scheme:dark"
)
LIGHT = (
    "--bg:#fbfbf9;--fg:#1d1f22;--dim:#5c626b;--line:#dcdcd6;--card:#fff;--good:#0b7a4b;--warn:#8a5a00;--bad:#b3261e;"
    "--c0:#2563a8;--c1:#c4600a;--c2:#0b7d76;--c3:#8a3fa0;--c4:#7a6600;--c5:#8b9099;--c6:#c6c9ce;color-scheme:light"
)
_TONES = "".join(
    f".c{i}{{stroke:var(--c{i})}}.bar.c{i},.ribbon.c{i}{{fill:var(--c{i})}}.end.t{i}{{fill:var(--c{i})}}"
    f".key.c{i},.fill.c{i}{{background:var(--c{i})}}.area.c{i}{{fill:var(--c{i})}}"
    for i in range(7)
)

STYLE = f"""
:root{{{LIGHT}}}@media(prefers-color-scheme:dark){{:root:not(.light){{{DARK}}}}}:root.dark{{{DARK}}}{_TONES}
*{{box-sizing:border-box}}body{{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}}
main{{max-width:1080px;margin:0 auto;padding:24px 16px 60px}}h1{{margin:0;font-size:26px}}h2{{font-size:19px;margin:40px 0 6px}}
h3{{font-size:14px;margin:14px 0 4px}}.note,small{{color:var(--dim);font-size:13px;margin:4px 0}}
.verdict{{font-size:19px;font-weight:600;margin:12px 0 4px}}.good{{color:var(--good)}}.warn{{color:var(--warn)}}.bad{{color:var(--bad)}}
.each{{margin:4px 0 14px;padding-left:18px;font-size:14px}}
#mode{{float:right;background:none;border:1px solid var(--line);color:var(--fg);border-radius:6px;font-size:14px;padding:4px 10px;cursor:pointer}}
.cards{{display:grid;grid-template-columns:repeat(auto-fit,minmax(155px,1fr));gap:10px}}
.card{{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 12px;display:flex;flex-direction:column}}
.card span{{color:var(--dim);font-size:13px}}.card b{{font-size:23px;line-height:1.25}}.card small{{margin:0}}
.charts{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:14px}}
figure{{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 8px 6px;min-width:0}}
figcaption{{font-size:14px;font-weight:600;padding:0 4px}}
.read{{display:block;min-height:20px;font-weight:400;color:var(--dim);font-size:13px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}}
svg{{width:100%;height:auto;display:block}}svg:focus-visible{{outline:2px solid var(--c0);outline-offset:2px}}
svg text{{fill:var(--fg);font:13px system-ui,sans-serif;stroke:none}}svg .tick{{fill:var(--dim);font-size:12px}}.grid{{stroke:var(--line)}}
.line{{fill:none;stroke-width:1.8;stroke-linejoin:round}}.again{{stroke-dasharray:7 4}}.cursor{{stroke:var(--fg);stroke-width:1}}
.limit{{stroke:var(--bad);stroke-dasharray:5 4;stroke-width:1.4}}.limit.c0{{stroke:var(--c0)}}.limit.c1{{stroke:var(--c1)}}
.limit.c2{{stroke:var(--c2)}}.limit.c3{{stroke:var(--c3)}}.limit.c4{{stroke:var(--c4)}}svg .tlimit{{fill:var(--bad)}}svg .end{{font-size:12px}}svg .end.t5,svg .end.t6{{fill:var(--dim)}}
.bar,.ribbon,.area{{stroke:none}}.area{{opacity:.78}}.ribbon{{opacity:.3}}svg .name{{font-size:13px}}
.legend{{list-style:none;padding:0;margin:4px 0 8px;display:flex;flex-wrap:wrap;gap:16px;font-size:13px}}
.key{{display:inline-block;width:18px;height:4px;border-radius:2px;vertical-align:middle;margin-right:6px}}
.scroll{{overflow-x:auto}}table{{border-collapse:collapse;font-size:13px}}table.full{{width:100%}}
th,td{{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}}th{{color:var(--dim);font-weight:600}}
td.n,th.n{{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}}td.w{{white-space:nowrap}}tr.sum td{{font-weight:600}}tr.group th{{padding-top:12px;color:var(--fg)}}
.water td.track{{width:56%;min-width:110px;padding-right:12px}}.track div{{position:relative;height:16px;background:linear-gradient(var(--line),var(--line)) 0 50%/100% 1px no-repeat}}
.fill{{position:absolute;top:0;height:16px;min-width:2px;border-radius:2px}}.fill.all{{background:var(--dim)}}
.two{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(560px,100%),1fr));gap:8px 28px}}
details{{margin:8px 0;font-size:13px}}summary{{cursor:pointer;color:var(--dim)}}.wide{{max-width:840px}}.wide svg{{min-width:620px}}
@media(max-width:600px){{svg .tick,svg .end{{font-size:19px}}svg .alt{{display:none}}.card b{{font-size:20px}}h1{{font-size:22px}}
.wide svg .name{{font-size:14px}}.cards{{grid-template-columns:1fr 1fr}}}}
@media print{{#mode,.read,.hint{{display:none}}:root:root{{{LIGHT};--bg:#fff}}body{{font-size:12px;print-color-adjust:exact;-webkit-print-color-adjust:exact}}
main{{padding:0}}figure,tr,.card,.water,.two>div{{break-inside:avoid}}svg .tick,svg .end{{font-size:18px}}svg .alt{{display:none}}h2,h3,.note,.legend{{break-after:avoid}}h2,h3{{margin-top:20px}}.charts{{grid-template-columns:1fr 1fr}}
.scroll{{overflow:visible}}.cards{{grid-template-columns:repeat(3,1fr)}}details:not([open])>summary{{display:none}}}}
"""

SCRIPT = """
(()=>{const charts=[...document.querySelectorAll('svg.timeline')].map(svg=>{const d=svg.dataset;return{svg,
cursor:svg.querySelector('.cursor'),read:svg.parentElement.querySelector('.read'),names:d.names.split(';'),
times:d.times.split(','),left:+d.left,plot:d.width-d.left-d.right,width:+d.width,
values:d.values.split(';').map(v=>v.split(',').map(Number))}});
const n=charts.length?charts[0].times.length:0;let at=-1;
const form=v=>Math.abs(v)>=1e6?+(v/1e6).toPrecision(3)+'M':Math.abs(v)>=1e4?+(v/1e3).toPrecision(3)+'k':''+(+v.toPrecision(3));
function show(i){at=Math.max(0,Math.min(n-1,i));for(const c of charts){const x=c.left+at/Math.max(1,n-1)*c.plot;
c.cursor.setAttribute('x1',x);c.cursor.setAttribute('x2',x);c.cursor.setAttribute('visibility','visible');
c.read.textContent=c.times[at]+': '+c.names.map((m,j)=>m+' '+form(c.values[j][at])).join(', ')}}
for(const c of charts){c.svg.addEventListener('pointermove',e=>{const b=c.svg.getBoundingClientRect();
show(Math.round(((e.clientX-b.left)/b.width*c.width-c.left)/c.plot*(n-1)))});
c.svg.addEventListener('focus',()=>{if(at<0)show(0)});
c.svg.addEventListener('keydown',e=>{const step={ArrowRight:1,ArrowLeft:-1,PageDown:10,PageUp:-10,Home:-n,End:n}[e.key];
if(step===undefined)return;show(at+step);e.preventDefault()})}
const root=document.documentElement,night=matchMedia('(prefers-color-scheme:dark)');
document.getElementById('mode').addEventListener('click',()=>{
const dark=root.classList.contains('dark')||(!root.classList.contains('light')&&night.matches);
root.classList.toggle('dark',!dark);root.classList.toggle('light',dark)})})();
"""
