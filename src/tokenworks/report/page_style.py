"""Style and script of the HTML report."""

STYLE = """
:root{--bg:#fbfbf9;--fg:#1d1f22;--dim:#666b73;--line:#dcdcd6;--card:#fff;--good:#0b7a4b;--bad:#b3261e;
--c0:#2563a8;--c1:#c4600a;--c2:#0f8a83;--c3:#8a3fa0;--c4:#8a7400;--c5:#8b9099}
@media(prefers-color-scheme:dark){:root:not(.light){--bg:#15171a;--fg:#e8e8e4;--dim:#9aa0a8;--line:#33373d;--card:#1d2024;
--good:#4cc38a;--bad:#ff8a80;--c0:#6ea8e8;--c1:#f0a050;--c2:#4fd1c5;--c3:#c98ade;--c4:#d9c34a;--c5:#757b84}}
:root.dark{--bg:#15171a;--fg:#e8e8e4;--dim:#9aa0a8;--line:#33373d;--card:#1d2024;--good:#4cc38a;--bad:#ff8a80;
--c0:#6ea8e8;--c1:#f0a050;--c2:#4fd1c5;--c3:#c98ade;--c4:#d9c34a;--c5:#757b84}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 16px 60px}h1{margin:0;font-size:26px}h2{font-size:18px;margin:36px 0 6px}
.note,small{color:var(--dim);font-size:13px;margin:4px 0}.verdict{font-size:17px;font-weight:600;margin:12px 0}
.verdict.good{color:var(--good)}.verdict.bad{color:var(--bad)}#mode{float:right;background:none;border:1px solid var(--line);
color:var(--fg);border-radius:6px;font-size:18px;padding:2px 10px;cursor:pointer}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 12px;display:flex;flex-direction:column}
.card span{color:var(--dim);font-size:13px}.card b{font-size:22px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:14px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px}figcaption{font-size:13px;color:var(--dim)}
figure.wide{max-width:860px}svg{width:100%;height:auto;display:block}svg:focus{outline:2px solid var(--c0)}
svg text{fill:var(--fg);font:13px system-ui,sans-serif}svg .tick{fill:var(--dim);font-size:12.5px}.grid{stroke:var(--line)}
.line{fill:none;stroke-width:1.8}.limit{stroke:var(--bad);stroke-dasharray:5 4;stroke-width:1.4}.cursor{stroke:var(--dim)}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1);stroke-dasharray:none}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}
.limit.c0,.limit.c1,.limit.c2,.limit.c3{stroke-dasharray:5 4}
.bar{stroke:none}.bar.c0{fill:var(--c0)}.bar.c1{fill:var(--c1)}.bar.c2{fill:var(--c2)}.bar.c3{fill:var(--c3)}.bar.c4{fill:var(--c4)}.bar.c5{fill:var(--c5)}.bar.ct{fill:var(--dim)}
.ribbon{stroke:none;opacity:.28}.ribbon.c0{fill:var(--c0)}.ribbon.c1{fill:var(--c1)}.ribbon.c2{fill:var(--c2)}.ribbon.c5{fill:var(--c5)}
.legend{list-style:none;padding:0;margin:4px 0;display:flex;flex-wrap:wrap;gap:14px;font-size:13px}
.key{display:inline-block;width:18px;height:0;border-top:3px solid;vertical-align:middle;margin-right:6px}
.key.c0{border-color:var(--c0)}.key.c1{border-color:var(--c1)}.key.c2{border-color:var(--c2)}.key.c3{border-color:var(--c3)}.key.c4{border-color:var(--c4)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;width:100%}table.small{width:auto;margin-top:8px}
th,td{text-align:right;padding:4px 8px;border-bottom:1px solid var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}
th{color:var(--dim);font-weight:600}
@media print{#mode{display:none}:root{--bg:#fff;--card:#fff;--fg:#000;--dim:#444;--line:#bbb}section{break-inside:avoid}}
"""

SCRIPT = """
const charts=[...document.querySelectorAll('svg.timeline')],moment=document.getElementById('moment');
const L=58,R=12,W=720;
const data=charts.map(c=>({names:c.dataset.names.split(';'),unit:c.dataset.unit,title:c.getAttribute('aria-label'),
values:c.dataset.values.split(';').map(v=>v.split(',').map(Number))}));
const n=data.length?data[0].values[0].length:0;let at=-1;
function show(i){at=Math.max(0,Math.min(n-1,i));charts.forEach(c=>{const k=c.querySelector('.cursor'),x=L+at/(n-1)*(W-L-R);
k.setAttribute('x1',x);k.setAttribute('x2',x);k.setAttribute('visibility','visible')});
moment.textContent=data.map(d=>d.title.split(':')[0]+': '+d.names.map((m,j)=>m+' '+d.values[j][at]+' '+d.unit).join(', ')).join(' · ')}
charts.forEach(c=>{c.addEventListener('mousemove',e=>{const b=c.getBoundingClientRect(),x=(e.clientX-b.left)/b.width*W;
show(Math.round((x-L)/(W-L-R)*(n-1)))});c.addEventListener('keydown',e=>{if(e.key==='ArrowRight')show(at+1);else if(e.key==='ArrowLeft')show(at-1);else return;e.preventDefault()})});
document.getElementById('mode').addEventListener('click',()=>{const r=document.documentElement,dark=r.classList.contains('dark')||
(!r.classList.contains('light')&&matchMedia('(prefers-color-scheme:dark)').matches);r.classList.toggle('dark',!dark);r.classList.toggle('light',dark)});
"""
