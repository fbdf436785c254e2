(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const state = { view: 0, metric: data.metrics.findIndex((_, m) => byId(`charts-0-${m}`)), only: null, shown: 40, text: "" };

  // ---- the data of a row

  const cell = (name, row) => {
    const column = data.columns[name];
    return column.v ? column.v[column.i[row]] : column[row];
  };
  const measured = (row, m) => cell("measured_" + data.metrics[m].column, row);
  const predicted = (row, m) => cell("predicted_" + data.metrics[m].column, row);
  const error = (row, m) => {
    const truth = measured(row, m), said = predicted(row, m);
    return truth && said ? Math.log(said / truth) : null;
  };
  const members = data.views.map(({ rows }) => {
    let at = 0;
    return rows ? rows.map((step) => (at += step)) : Array.from({ length: data.count }, (_, i) => i);
  });
  const words = Array.from({ length: data.count }, (_, row) =>
    ["id", "dataset", "gpu", "model", "engine", "engine_version", "quantization"]
      .map((name) => cell(name, row) ?? "").join(" ").toLowerCase());

  // ---- how things are written

  const number = (value) => {
    if (typeof value !== "number") return value == null ? "–" : String(value);
    if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
    return String(+value.toPrecision(4));
  };
  const signed = (log) => {
    if (log == null) return "–";
    const share = 100 * Math.expm1(log);
    if (share >= 999.5) return "×" + Math.exp(log).toFixed(0);
    return (share < 0 ? "−" : "+") + Math.abs(share).toFixed(Math.abs(share) < 10 ? 1 : 0) + "%";
  };
  const make = (tag, props = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };
  const table = (head, rows, words = 1) =>
    make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text, i) =>
      make("th", { scope: "col", className: i < words ? "" : "n" }, text)))), make("tbody", {}, ...rows));
  const side = (log) => (log == null ? "n" : log > 0 ? "n over" : "n under");

  // ---- what is shown

  const put = (place, name) => {
    const kept = byId(name);
    byId(place).replaceChildren(kept ? kept.content.cloneNode(true) : make("p", { className: "note" }, "No such measurement in these rows."));
  };
  const render = () => {
    const { view, metric } = state;
    put("head", `head-${view}`);
    put("charts", `charts-${view}-${metric}`);
    put("groups", `groups-${view}-${metric}`);
    put("sets", `sets-${metric}`);
    byId("view").value = view;
    for (const tab of document.querySelectorAll("[data-metric]")) {
      tab.setAttribute("aria-selected", +tab.dataset.metric === metric);
      tab.disabled = !byId(`charts-${view}-${tab.dataset.metric}`);
    }
    const titles = document.querySelectorAll("[data-of]"), said = data.metrics[metric].name;
    titles.forEach((node, i) => {
      const name = data.views[view].name;
      node.textContent = i === 0 ? name : i < 4 ? `${said}, ${name}` : i === 4 ? said : "";
    });
    list();
  };

  // ---- the list of rows

  const kept = (row) => {
    const { only, text } = state;
    if (text && !text.split(/\s+/).every((word) => words[row].includes(word))) return false;
    if (!only) return true;
    if (only.key !== undefined) return ["gpu", "model", "engine"].map((n) => cell(n, row) ?? "").join("|") === only.key;
    return data.charts[only.chart].at[row] === only.bucket;
  };
  const load = (row) => {
    const asked = [["concurrency", "clients"], ["batch_size", "a batch"], ["request_rate", "requests/s"]];
    const known = asked.find(([name]) => cell(name, row) != null);
    return known ? `${number(cell(known[0], row))} ${known[1]}` : cell("mode", row) ?? "";
  };
  const line = (row) => {
    const m = state.metric, log = error(row, m);
    const said = [cell("dataset", row), `${cell("gpu", row) ?? "–"} × ${number(cell("gpus", row) ?? cell("replica_gpus", row))}`, cell("model", row),
      [cell("engine", row), cell("engine_version", row)].filter(Boolean).join(" "), cell("weights", row),
      `${number(cell("isl", row))} / ${number(cell("osl", row))}`, load(row)];
    const opener = make("button", { type: "button", className: "link" }, cell("id", row) || `row ${row}`);
    return make("tr", { onclick: () => open(row) }, make("td", { className: "w" }, opener),
      make("td", { className: side(log) }, signed(log)), make("td", { className: "n" }, number(measured(row, m))),
      make("td", { className: "n" }, number(predicted(row, m))), ...said.map((text) => make("td", { className: "w" }, text ?? "–")));
  };
  const list = () => {
    const rows = members[state.view].filter((row) => error(row, state.metric) != null && kept(row));
    rows.sort((a, b) => Math.abs(error(b, state.metric)) - Math.abs(error(a, state.metric)) || a - b);
    const head = ["row", "error", "measured", "predicted", "dataset", "GPUs", "model", "engine", "weights", "ISL / OSL", "load"];
    const shown = table(head, rows.slice(0, state.shown).map(line), 1);
    shown.querySelectorAll("th").forEach((th, i) => (th.className = i > 0 && i < 4 ? "n" : ""));
    byId("rows").replaceChildren(shown);
    byId("more").hidden = rows.length <= state.shown;
    const note = `${Math.min(state.shown, rows.length).toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
    const all = make("button", { type: "button", onclick: () => choose(null) }, "× " + (state.only?.name ?? ""));
    byId("only").replaceChildren(...(state.only ? [all, " "] : []), note);
  };
  const choose = (only) => {
    Object.assign(state, { only, shown: 40 });
    list();
    if (only) byId("rows").closest("section").scrollIntoView();
  };

  // ---- one row

  const fact = (name, value) => (/^share|pressure$/.test(name) ? `${(100 * value).toFixed(1)}%` : number(value));
  const facts = (names, row) => make("dl", { className: "facts" }, ...names.filter((n) => cell(n, row) != null).map((name) =>
    make("div", {}, make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, fact(name, cell(name, row))))));
  const metrics = (row) => table(["", "measured", "predicted", "error", "80% interval", "holds it"], data.metrics.map(({ said, column, bounded }, m) => {
    const truth = measured(row, m), low = bounded ? cell("p10_" + column, row) : null, high = bounded ? cell("p90_" + column, row) : null;
    const inside = low == null || truth == null ? "–" : low <= truth && truth <= high ? "yes" : "no";
    const log = error(row, m), numbers = [number(truth), number(predicted(row, m))].map((text) => make("td", { className: "n" }, text));
    return make("tr", {}, make("td", { className: "w" }, said), ...numbers, make("td", { className: side(log) }, signed(log)),
      ...[low == null ? "–" : `${number(low)} to ${number(high)}`, inside].map((text) => make("td", { className: "n" }, text)));
  }));
  const operators = (row) => {
    const seconds = cell("simulated_worker_s", row);
    const parts = data.operators.map((name, k) => [name, data.shares[k][row] / 1e4]).filter(([, share]) => share > 0);
    parts.sort((a, b) => b[1] - a[1]);
    const bars = parts.map(([name, share]) => {
      const bar = make("div", { className: `fill ${["host", "power limit", "busiest rank", "idle"].includes(name) ? "c1" : "c0"}` });
      bar.style.width = `${100 * share / parts[0][1]}%`;
      return make("tr", {}, make("td", { className: "w" }, name), make("td", { className: "track" }, make("div", {}, bar)),
        make("td", { className: "n" }, `${(100 * share).toFixed(1)}%`), make("td", { className: "n" }, `${number(share * seconds)} s`));
    });
    return make("table", { className: "water ops" }, make("tbody", {}, ...bars));
  };
  const open = (row) => {
    const reason = cell("assumed_or_reason", row), rehearsed = cell("mode", row) != null;
    const parts = [make("h2", {}, cell("id", row) || `row ${row}`),
      make("p", { className: "note" }, [`row ${row}`, cell("split", row), cell("dataset", row), cell("status", row)].filter(Boolean).join(" · ") + (reason ? `: ${reason}` : "")),
      make("div", { className: "scroll" }, metrics(row))];
    if (rehearsed) parts.push(make("h3", {}, "Where the workers' time goes in its rehearsal"), operators(row));
    parts.push(make("h3", {}, "Inputs, as published"), facts(data.inputs, row));
    if (rehearsed) parts.push(make("h3", {}, "As rehearsed"), facts(data.setting, row));
    byId("inside").replaceChildren(...parts);
    byId("row").showModal();
    byId("row").scrollTop = 0;
  };

  // ---- what can be clicked

  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest(selector);
    let found;
    if ((found = at("[data-metric]"))) { state.metric = +found.dataset.metric; state.shown = 40; render(); }
    else if ((found = at("[data-view]"))) { look(+found.dataset.view); scrollTo(0, 0); }
    else if ((found = at("[data-group]"))) choose({ key: found.dataset.group, name: found.dataset.group.replaceAll("|", ", ") });
    else if ((found = at("[data-b]"))) bucket(found);
    else if (event.target === byId("row")) byId("row").close();
  });
  const bucket = ({ dataset: { c, b } }) =>
    choose({ chart: +c, bucket: +b, name: `${data.charts[c].title}: ${data.charts[c].labels[b]}` });
  const look = (view) => {
    Object.assign(state, { view, only: null, shown: 40 });
    if (!byId(`charts-${view}-${state.metric}`))
      state.metric = Math.max(0, data.metrics.findIndex((_, m) => byId(`charts-${view}-${m}`)));
    render();
  };
  document.addEventListener("keydown", (event) => {
    const found = (event.key === "Enter" || event.key === " ") && event.target.closest?.("[data-b]");
    if (!found) return;
    event.preventDefault();
    bucket(found);
  });
  byId("view").addEventListener("change", () => look(+byId("view").value));
  byId("find").addEventListener("input", () => { state.text = byId("find").value.trim().toLowerCase(); state.shown = 40; list(); });
  byId("more").addEventListener("click", () => { state.shown += 200; list(); });
  byId("close").addEventListener("click", () => byId("row").close());
  if (state.metric < 0) state.metric = 0;
  render();
  const asked = /^#row=(\d+)$/.exec(location.hash);
  if (asked && +asked[1] < data.count) open(+asked[1]);
})();
