"use strict";
// The page: a summary of all cells in columns (data/summary.js), details in chunks that are loaded on demand by
// script tags, so that everything works from a folder without a server. The state is in the address.

const D = globalThis.LUMAVOX.summary;
const N = D.digest.length;
const FILTERS = ["soc", "model", "status", "rung", "task", "engine", "firmware", "culprit"];
const PAGE = 100;
const byDigest = new Map(D.digest.map((digest, i) => [digest, i]));
const chunks = new Map();
let page = 0;

const value = (name, i) => D.names[name][D[name][i]];
const element = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, text] of Object.entries(attributes)) if (text !== null && text !== undefined) made.setAttribute(key, text);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// --- the address ------------------------------------------------------------------------------------------

const state = () => new URLSearchParams(location.hash.slice(1));

function address(changes) {
  const next = state();
  for (const [key, text] of Object.entries(changes)) { if (text) next.set(key, text); else next.delete(key); }
  return "#" + next.toString();
}

function go(changes) { page = 0; location.hash = address(changes); }

function chosen(now) {
  const wanted = FILTERS.filter((name) => now.get(name)).map((name) => [name, D.names[name].indexOf(now.get(name))]);
  const words = (now.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  for (let i = 0; i < N; i++) {
    if (wanted.every(([name, index]) => D[name][i] === index) && words.every((word) => textOf(i).includes(word))) found.push(i);
  }
  return found;
}

const texts = new Array(N);
function textOf(i) {
  if (texts[i] === undefined) {
    texts[i] = [...D.axes.map((axis) => value(axis, i)), D.digest[i], value("status", i), value("reason", i)].join(" ").toLowerCase();
  }
  return texts[i];
}

// --- the heat map -----------------------------------------------------------------------------------------

function heat(cells) {
  const groups = new Map();
  const socs = new Set(), models = new Set();
  for (const i of cells) {
    const soc = D.soc[i], model = D.model[i], key = soc + " " + model;
    socs.add(soc); models.add(model);
    let group = groups.get(key);
    if (!group) groups.set(key, group = { worst: D.status[i], counts: {}, known: {}, rungs: {}, green: true });
    group.worst = Math.min(group.worst, D.status[i]);
    group.counts[D.status[i]] = (group.counts[D.status[i]] || 0) + 1;
    if (value("gap", i) === "known") group.known[D.status[i]] = (group.known[D.status[i]] || 0) + 1;
    group.rungs[D.rung[i]] = (group.rungs[D.rung[i]] || 0) + 1;
    group.green = group.green && Boolean(D.green[i]);
  }
  const sorted = (set, name) => [...set].sort((a, b) => D.names[name][a].localeCompare(D.names[name][b]));
  const columns = sorted(models, "model");
  const head = make("tr", {}, make("th", { scope: "col" }, "chipset"), ...columns.map((m) => make("th", { scope: "col" }, D.names.model[m])));
  const rows = sorted(socs, "soc").map((soc) => make("tr", {}, make("th", { scope: "row" }, D.names.soc[soc]),
    ...columns.map((model) => field(groups.get(soc + " " + model), soc, model))));
  element("heat").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  const first = element("heat").querySelector("td a");
  if (first) first.tabIndex = 0;
}

function field(group, soc, model) {
  if (!group) return make("td");
  const status = D.names.status[group.worst], total = Object.values(group.counts).reduce((a, b) => a + b, 0);
  const doubt = status === "PASS" && !group.green;
  const rungs = Object.keys(group.rungs).map((r) => `${group.rungs[r]} ${D.names.rung[r]}`).join(", ");
  const known = group.known[group.worst] === group.counts[group.worst] && status !== "PASS";
  const told = `${status} ${group.counts[group.worst]}` + (group.counts[group.worst] === total ? "" : ` of ${total}`) + (known ? ", known" : "");
  const link = make("a", { href: address({ soc: D.names.soc[soc], model: D.names.model[model], cell: null }), tabindex: "-1" },
    told + (doubt ? " *" : ""), make("small", {}, rungs));
  link.setAttribute("aria-label", `${D.names.soc[soc]}, ${D.names.model[model]}: ${told}${doubt ? ", not all proven" : ""}; ${rungs}`);
  return make("td", { class: doubt ? "doubt" : known ? "known" : status, role: "gridcell" }, link);
}

function arrows(event) {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  const td = event.target.closest("td");
  if (!step || !td) return;
  event.preventDefault();
  const rows = [...element("heat").tBodies[0].rows];
  let r = rows.indexOf(td.parentNode), c = td.cellIndex;
  for (;;) {
    r += step[0]; c += step[1];
    const next = rows[r] && rows[r].cells[c];
    if (!next || c < 1) return;
    const link = next.querySelector("a");
    if (link) { event.target.tabIndex = -1; link.tabIndex = 0; link.focus(); return; }
  }
}

// --- the list ---------------------------------------------------------------------------------------------

const LIST = ["soc", "model", "precision", "preset", "engine", "delegate", "firmware"];

function list(cells) {
  const shown = cells.slice(page * PAGE, (page + 1) * PAGE);
  const head = make("tr", {}, ...["status", "rung", ...LIST, "p99", "delegation", "why"].map((name) => make("th", { scope: "col" }, name)));
  const rows = shown.map((i) => make("tr", {},
    make("td", { class: statusClass(i) }, make("a", { href: address({ cell: D.digest[i], view: null }) }, value("status", i) + (D.gap[i] ? " (" + value("gap", i) + " gap)" : ""))),
    make("td", {}, value("rung", i)),
    ...LIST.map((axis) => make("td", {}, axis === "engine" ? `${value("engine", i)} ${value("engine_version", i)}` : value(axis, i))),
    make("td", { class: "number" }, D.p99[i] === null ? "–" : ms(D.p99[i])),
    make("td", {}, value("delegation", i)),
    make("td", {}, (value("culprit", i) === "-" ? "" : value("culprit", i) + ": ") + value("reason", i))));
  element("list").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  const last = Math.max(0, Math.ceil(cells.length / PAGE) - 1);
  const button = (text, to, off) => { const b = make("button", { type: "button" }, text); b.disabled = off; b.onclick = () => { page = to; show(); }; return b; };
  element("pages").replaceChildren(button("Previous", page - 1, page === 0), ` page ${page + 1} of ${last + 1} `, button("Next", page + 1, page >= last));
}

const statusClass = (i) => (value("status", i) === "PASS" && !D.green[i] ? "doubt" : value("status", i));

// --- one cell ---------------------------------------------------------------------------------------------

function load(chunk) {
  if (!chunks.has(chunk)) {
    chunks.set(chunk, new Promise((resolve, reject) => {
      const script = make("script", { src: `data/cells-${chunk}.js` });
      script.onload = () => resolve(globalThis.LUMAVOX.chunks[chunk]);
      script.onerror = () => { chunks.delete(chunk); reject(new Error(`data/cells-${chunk}.js is not there`)); };
      document.head.append(script);
    }));
  }
  return chunks.get(chunk);
}

const row = (name, text) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, String(text)));
const rowsOf = (pairs) => make("table", {}, make("tbody", {}, ...pairs.filter((p) => p[1] !== null && p[1] !== undefined && p[1] !== "").map(([name, text]) => row(name, text))));

function columnsOf(names, rows) {
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...names.map((n) => make("th", { scope: "col" }, n)))),
    make("tbody", {}, ...rows.map((r) => make("tr", {}, ...r.map((t) => make("td", {}, t === null || t === undefined ? "" : String(t))))))));
}

async function detail(digest) {
  const box = element("detail"), i = byDigest.get(digest);
  if (i === undefined) { box.replaceChildren(make("h2", { id: "detail-title" }, `There is no cell ${digest}`)); box.hidden = false; return; }
  const chunk = await load(D.chunk[i]);
  if (state().get("cell") !== digest) return;
  const c = chunk.cells[digest];
  const close = make("a", { href: address({ cell: null }) }, "Close");
  const part = (title, ...nodes) => make("div", {}, make("h3", {}, title), ...nodes);
  const verdict = [["status", `${value("status", i)}${c.flaky ? ` (${c.flaky})` : ""}`], ["why", value("reason", i)], ["culprit", value("culprit", i)],
    ["rung", value("rung", i)], ["validity", `${c.validity}: ${c.validity_reason}`], ["delegation", `${value("delegation", i)}: ${c.delegation_proof}`],
    ["known gap", c.gap_reason], ["proven", c.proven ? `p${c.proven} in time` : null]];
  const parts = [part("Verdict", rowsOf(verdict)), part("Versions", rowsOf(Object.entries(c.versions)))];
  if (c.percentiles) parts.push(part("Time of a frame", rowsOf([...Object.entries(c.percentiles).map(([n, us]) => [n, ms(us)]), ["deadline", ms(c.deadline_us)]])));
  else parts.push(part("Time of a frame", make("p", {}, c.no_times)));
  if (c.loop) parts.push(part("Histogram", histogram(c.loop, c.deadline_us)));
  if (c.strip) parts.push(part("Frames", strip(c.strip)));
  const history = chunk.trends[D.slot[i]] || [];
  const versions = versionsOf([...new Set(history.map((run) => byDigest.get(run[3])))]);
  const points = history.map(([began, p99, status, cell]) => ({ began, p99, status, cell, version: versions.get(cell) }));
  const line = trend(points, D.names.status, digest);
  parts.push(part("Trend", line || make("p", {}, "No run of this place has times."), points.length ? make("details", {}, make("summary", {}, `${points.length} runs`),
    columnsOf(["when", "p99", "status", "versions"], points.map((p) => [new Date(p.began).toISOString().slice(0, 19), p.p99 ? ms(p.p99) : "–", D.names.status[p.status], p.version]))) : null));
  if (c.nodes) parts.push(part("Placement", rowsOf([["operators on the accelerator", `${c.nodes[0]} of ${c.nodes[1]}`], ["asked for", c.asked], ["ran", c.ran],
    ["operators of the variant", c.operators], ["left on the CPU", c.fallback]])));
  const wide = [part("Run it again", make("pre", {}, c.command || "not known"))];
  if (c.findings.length) wide.unshift(part("Findings", columnsOf(["rule", "status", "culprit", "what", "evidence", "value", "limit", "unit"], c.findings)));
  wide.push(part("Observations", columnsOf(["name", "phase", "within", "value", "limit", "unit", "of", "detail"], c.observations.map((o) => [o[0], o[1], o[2] === null ? "–" : o[2] ? "yes" : "NO", ...o.slice(3)]))));
  if (c.stderr) wide.push(part("Last words of the process", make("pre", {}, c.stderr)));
  box.replaceChildren(make("h2", { id: "detail-title" }, D.axes.slice(0, 2).map((axis) => value(axis, i)).join(" · ") + ` · ${value("preset", i)}`),
    close, make("div", { class: "columns" }, ...parts), ...wide);
  box.hidden = false;
  box.focus();
}

// Of these cells only the versions in which they differ.
function versionsOf(cells) {
  const axes = D.versioned.filter((axis) => new Set(cells.map((i) => D[axis][i])).size > 1);
  return new Map(cells.map((i) => [D.digest[i], axes.map((axis) => value(axis, i).slice(0, 12)).join(" ") || "one version"]));
}

// --- versions compared ------------------------------------------------------------------------------------

function sides(now) {
  const axis = now.get("axis") || D.versioned.find((a) => D.names[a].length > 1) || D.versioned[0];
  const names = [...D.names[axis]].sort();
  const a = now.get("a") || names[0], b = now.get("b") || names[names.length - 1];
  const box = element("sides");
  box.replaceChildren(choice("axis", "what", D.versioned, axis), choice("a", "from", names, a), choice("b", "to", names, b));
  return [axis, a, b];
}

function compare(now, cells) {
  const [axis, a, b] = sides(now);
  const others = D.versioned.filter((name) => name !== axis);
  const place = (i) => D.slot[i] + "|" + others.map((name) => D[name][i]).join("|");
  const left = new Map(cells.filter((i) => value(axis, i) === a).map((i) => [place(i), i]));
  const pairs = cells.filter((i) => value(axis, i) === b && left.has(place(i))).map((i) => [left.get(place(i)), i]);
  const tests = pairs.map(([x, y]) => welch(moments(x), moments(y)));
  const corrected = { slower: [], faster: [] };
  for (const side of ["slower", "faster"]) corrected[side] = holm(tests.map((t) => (t && t[side] !== null ? t[side] : 1)));
  const rows = pairs.map(([x, y], k) => verdictOf(x, y, tests[k], corrected.slower[k], corrected.faster[k])).sort((p, q) => p.rank - q.rank);
  const changed = rows.filter((r) => r.rank < 9);
  const told = make("caption", {}, `${pairs.length} pairs, ${changed.length} changed: ${axis} ${a} to ${b}`);
  const head = make("tr", {}, ...["what", "cell", "from", "to", "p99", "p (corrected)", "output"].map((n) => make("th", { scope: "col" }, n)));
  element("pairs").replaceChildren(told, make("thead", {}, head), make("tbody", {}, ...changed.slice(0, 500).map((r) => r.row())));
  return `${pairs.length} pairs, ${changed.length} changed`;
}

const moments = (i) => (D.runs[i] ? { n: D.runs[i], mean: D.mean[i], sd: D.sd[i] } : null);

function verdictOf(x, y, test, slower, faster) {
  const passed = (i) => value("status", i) === "PASS", silent = (i) => ["ERROR", "MISS"].includes(value("status", i));
  let rank = 9, what = "same";
  if (D.output[x] && D.output[y] && D.output[x] !== D.output[y]) [rank, what] = [4, "other output"];
  if (test && faster <= 0.01 && test.ratio < 0.98) [rank, what] = [3, "faster"];
  if (passed(y) && !passed(x)) [rank, what] = [2, "mended"];
  if (test && slower <= 0.01 && test.ratio > 1.02) [rank, what] = [1, "slower"];
  if (passed(x) && silent(y)) [rank, what] = [2, "silent"];
  if (passed(x) && value("status", y) === "FAIL") [rank, what] = [0, "broken"];
  return { rank, row: () => make("tr", {}, make("td", {}, what),
    make("td", {}, make("a", { href: address({ cell: D.digest[y], view: null }) }, [value("soc", y), value("model", y), value("precision", y), value("preset", y), value("engine", y)].join(" · "))),
    make("td", { class: statusClass(x) }, value("status", x)), make("td", { class: statusClass(y) }, value("status", y)),
    make("td", { class: "number" }, test ? `${((test.ratio - 1) * 100).toFixed(1)} %` : "–"),
    make("td", { class: "number" }, test && test.slower !== null ? Math.min(slower, faster).toPrecision(2) : "too few runs"),
    make("td", {}, D.output[x] && D.output[y] ? (D.output[x] === D.output[y] ? "same" : "other") : "–")) };
}

// --- all of it --------------------------------------------------------------------------------------------

function choice(key, label, names, current, all) {
  const select = make("select", { name: key }, ...(all ? [make("option", { value: "" }, "all")] : []),
    ...names.map((name) => { const o = make("option", { value: name }, name.length > 40 ? name.slice(0, 39) + "…" : name); o.selected = name === current; return o; }));
  select.onchange = () => go({ [key]: select.value });
  return make("label", {}, label, select);
}

function filters(now) {
  const search = make("input", { type: "search", name: "q", value: now.get("q") || "", placeholder: "words" });
  search.onchange = () => go({ q: search.value });
  element("filter").replaceChildren(make("label", {}, "search", search),
    ...FILTERS.map((name) => choice(name, name === "soc" ? "chipset" : name, [...D.names[name]].sort(), now.get(name), true)),
    make("a", { href: "#" }, "Clear"));
}

function show() {
  const now = state(), cells = chosen(now), diff = now.get("view") === "diff";
  filters(now);
  for (const [id, hidden] of [["map", diff], ["cells", diff], ["diff", !diff]]) element(id).hidden = hidden;
  for (const [id, current] of [["tab-map", !diff], ["tab-diff", diff]]) {
    if (current) element(id).setAttribute("aria-current", "page"); else element(id).removeAttribute("aria-current");
  }
  let told = `${cells.length.toLocaleString("en")} of ${N.toLocaleString("en")} cells`;
  if (diff) told += "; " + compare(now, cells);
  else { heat(cells); list(cells); }
  element("told").textContent = told;
  if (now.get("cell")) detail(now.get("cell")).catch((error) => { element("told").textContent = error.message; });
  else element("detail").hidden = true;
}

function begin() {
  document.title = D.title;
  document.querySelector("h1").textContent = D.title;
  element("made").textContent = `${N.toLocaleString("en")} cells, made ${new Date(D.made_ms).toISOString().slice(0, 16).replace("T", " ")} UTC by lumavox ${D.version}`;
  const counts = D.names.status.map((status, k) => [status, D.status.reduce((sum, s) => sum + (s === k), 0)]).filter((pair) => pair[1]);
  element("counts").replaceChildren(...counts.map(([status, count]) => make("li", {}, make("a", { class: status, href: `#status=${status}` }, `${status} ${count.toLocaleString("en")}`))));
  element("heat").addEventListener("keydown", arrows);
  addEventListener("hashchange", () => { page = 0; show(); });
  show();
  void document.body.offsetHeight; // its layout counts, too
  document.documentElement.dataset.readyMs = String(Math.round(performance.now()));
}

begin();
