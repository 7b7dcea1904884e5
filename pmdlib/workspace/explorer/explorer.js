// The explorer's page: chooses among precomputed runs and draws them. It computes no dynamics.
(() => {
  "use strict";
  const byId = (name) => document.getElementById(`pmdx-${name}`);
  const root = document.getElementById("pmdx");
  const data = JSON.parse(byId("data").textContent);
  const LETTERS = { kl: ["P", "N", "C", "G"], euclidean: ["P", "8", "C", "G"] };
  const QUANTITIES = Object.keys(data.levels);
  const COUNT = data.times.length, LAST = COUNT - 1, STRIDE = QUANTITIES.length * COUNT + 2;
  const SIZE = 420, LEFT = 54, RIGHT = 410, TOP = 10, BOTTOM = 366;

  // What is shown. `rule` is the number of a named step that is kept when N changes, or null; then
  // `wanted` is the step size that is kept.
  const view = {
    scene: 0, map: "euclidean", agents: Math.min(3, data.agents.length - 1), step: 0,
    rule: 1, wanted: 1, start: [1, 2], all: true,
  };
  let numbers = null; // Int16Array, all runs one after another

  // Data ------------------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  async function decode() {
    const stream = new Blob([bytes(data.numbers)]).stream().pipeThrough(new DecompressionStream("gzip"));
    const found = new Int16Array(await new Response(stream).arrayBuffer());
    for (let at = 0; at < found.length; at += STRIDE)
      for (let k = 1; k < STRIDE; k++) found[at + k] += found[at + k - 1];
    return found;
  }

  const scene = () => data.scenes[view.scene];
  const picture = () => scene().pictures[view.agents];
  const setting = () => scene().maps[view.map][view.agents];
  const step = () => setting().steps[view.step];

  function size(code, levels) {
    if (code === 0) return NaN;
    const log = data.low + ((Math.abs(code) - 1) / (levels - 1)) * (data.high - data.low);
    return Math.sign(code) * 10 ** log;
  }

  // The run from place (i, j) of the grid. Groups are alike: (j, i) is the mirror image of (i, j).
  function run(i, j) {
    const [low, high] = i <= j ? [i, j] : [j, i];
    const pair = data.pairs.findIndex(([a, b]) => a === low && b === high);
    const at = (setting().first + view.step * data.pairs.length + pair) * STRIDE;
    const found = {};
    QUANTITIES.forEach((name, k) => {
      const codes = Array.from(numbers.subarray(at + k * COUNT, at + (k + 1) * COUNT));
      const levels = data.levels[name];
      found[name] = codes.map((code) => (k < data.fractions ? code / levels : size(code, levels)));
    });
    if (i > j) [found.x, found.y] = [found.y, found.x];
    [found.falls, found.first] = numbers.subarray(at + STRIDE - 2, at + STRIDE);
    return found;
  }

  // Words -----------------------------------------------------------------------------------------

  const raise = (digits) => [...digits].map((sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]).join("");

  function short(number) {
    if (Number.isNaN(number)) return `below 10${raise(String(data.low))}`;
    const rounded = Number(number.toExponential(1)), magnitude = Math.abs(rounded);
    if (rounded === 0 || (magnitude >= 1e-3 && magnitude < 1e5)) return String(rounded);
    const [mantissa, exponent] = rounded.toExponential().split("e");
    const power = `10${raise(exponent.replace("+", ""))}`;
    return mantissa === "1" ? power : `${mantissa}×${power}`;
  }

  function words(shown) {
    const probability = (place) => short(place ** (1 / picture().exponent));
    const values = {
      iterations: data.iterations, falls: shown.falls, first: shown.first,
      falling: step().falling, starts: data.grid.length ** 2,
      x: picture().grid[view.start[0]], y: picture().grid[view.start[1]],
      end_x: probability(shown.x[LAST]), end_y: probability(shown.y[LAST]),
      gap: short(shown.nash_gap[LAST]), c: short(shown.c[LAST]),
      regret: short(shown.regret[LAST]), bound: short(shown.regret_bound[LAST]),
    };
    const bounded = !Number.isNaN(shown.regret_bound[LAST]);
    const parts = [shown.falls ? "falls" : "improves", "grid", "end", bounded ? "bounded" : "unbounded"];
    const text = parts.map((part) => data.templates[part]).join(" ");
    return `${step().line} ${text.replace(/\{(\w+)\}/g, (_, name) => values[name])}`;
  }

  // Drawing ---------------------------------------------------------------------------------------

  function add(parent, name, attributes, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  const across = (place) => LEFT + place * (RIGHT - LEFT);
  const up = (place) => BOTTOM - place * (BOTTOM - TOP);
  const point = (shown, k) => [across(shown.x[k]), up(shown.y[k])];

  // Segments between iterates that follow each other, and those that skip some.
  function path(at, good) {
    let joined = "", skipping = "";
    for (let k = 1; k <= LAST; k++) {
      if (!good(k - 1) || !good(k)) continue;
      const segment = `M${at(k - 1)}L${at(k)}`;
      if (data.times[k] - data.times[k - 1] === 1) joined += segment;
      else skipping += segment;
    }
    return { joined, skipping };
  }

  function drawPath(parent, { joined, skipping }, style) {
    const line = { fill: "none", "stroke-linecap": "round", ...style };
    add(parent, "path", { ...line, d: joined || "M0 0" });
    add(parent, "path", { ...line, d: skipping || "M0 0", "stroke-dasharray": "1 4", "stroke-width": line["stroke-width"] / 2 });
  }

  function drawGround(svg) {
    const levels = bytes(picture().heat), cells = Math.sqrt(levels.length), side = (RIGHT - LEFT) / cells;
    levels.forEach((level, k) => {
      const [i, j] = [Math.floor(k / cells), k % cells];
      add(svg, "rect", {
        x: LEFT + i * side, y: BOTTOM - (j + 1) * side, width: side, height: side, "shape-rendering": "crispEdges",
        fill: "var(--pmdx-heat)", "fill-opacity": ((0.85 * level) / 255).toFixed(3),
      });
    });
    add(svg, "rect", { x: LEFT, y: TOP, width: RIGHT - LEFT, height: BOTTOM - TOP, fill: "none", stroke: "var(--pmdx-soft)" });
    for (const [place, label] of picture().ticks) {
      add(svg, "text", { x: across(place), y: BOTTOM + 20, "text-anchor": "middle" }, label);
      add(svg, "text", { x: LEFT - 9, y: up(place) + 5, "text-anchor": "end" }, label);
    }
    add(svg, "text", { x: (LEFT + RIGHT) / 2, y: SIZE - 12, "text-anchor": "middle" }, "x, group 1");
    add(svg, "text", { transform: `translate(14 ${up(0.75)}) rotate(-90)`, "text-anchor": "middle" }, "y, group 2");
  }

  function drawArrow(svg, shown) {
    const [x, y] = point(shown, 0), [dx, dy] = [point(shown, 1)[0] - x, point(shown, 1)[1] - y];
    const length = Math.hypot(dx, dy), color = shown.falls ? "var(--pmdx-bad)" : "var(--pmdx-ink)";
    if (length < 0.1) return add(svg, "circle", { cx: x, cy: y, r: 1.5, fill: color });
    const [u, v] = [dx / length, dy / length], [tipX, tipY] = [x + 15 * u, y + 15 * v];
    const head = `M${tipX - 5 * u + 3 * v} ${tipY - 5 * v - 3 * u}L${tipX} ${tipY}L${tipX - 5 * u - 3 * v} ${tipY - 5 * v + 3 * u}`;
    const style = { fill: "none", stroke: color, "stroke-width": 1.3, opacity: 0.8 };
    return add(svg, "path", { d: `M${x} ${y}L${tipX} ${tipY}${head}`, ...style });
  }

  function drawRest(svg, { kind, ends }) {
    const [[x, y]] = ends, [cx, cy] = [across(x), up(y)];
    const outline = { stroke: "var(--pmdx-ink)", "stroke-width": 1.5 };
    const title = (node) => add(node, "title", {}, kind);
    if (ends.length === 2) {
      const color = kind === "line, Nash" ? "var(--pmdx-mixed)" : "var(--pmdx-paper)";
      const line = { x1: cx, y1: cy, x2: across(ends[1][0]), y2: up(ends[1][1]) };
      add(svg, "line", { ...line, stroke: "var(--pmdx-ink)", "stroke-width": 8, "stroke-linecap": "round" });
      title(add(svg, "line", { ...line, stroke: color, "stroke-width": 5, "stroke-linecap": "round" }));
    } else if (kind === "pure Nash") title(add(svg, "circle", { cx, cy, r: 6, fill: "var(--pmdx-ink)", ...outline }));
    else if (kind === "mixed Nash")
      title(add(svg, "path", { d: `M${cx} ${cy - 7}L${cx + 7} ${cy}L${cx} ${cy + 7}L${cx - 7} ${cy}Z`, fill: "var(--pmdx-mixed)", ...outline }));
    else title(add(svg, "rect", { x: cx - 5, y: cy - 5, width: 10, height: 10, fill: "var(--pmdx-paper)", ...outline }));
  }

  function drawPortrait(shown) {
    const svg = byId("portrait");
    svg.replaceChildren();
    drawGround(svg);
    const others = data.grid.flatMap((_, i) => data.grid.map((_, j) => run(i, j)));
    const line = (one) => path((k) => point(one, k), () => true);
    if (view.all)
      others.forEach((one) => drawPath(svg, line(one), { stroke: "var(--pmdx-run)", "stroke-width": 0.8, opacity: 0.4 }));
    others.forEach((one) => drawArrow(svg, one));
    const nash = (rest) => rest.kind.endsWith("Nash") && !rest.kind.endsWith("not Nash");
    picture().rest.filter((rest) => view.map === "kl" || nash(rest)).forEach((rest) => drawRest(svg, rest));
    drawPath(svg, line(shown), { stroke: "var(--pmdx-run)", "stroke-width": 2.6 });
    data.times.forEach((_, k) => {
      const [cx, cy] = point(shown, k);
      add(svg, "circle", { cx, cy, r: 2.6, fill: "var(--pmdx-run)" });
    });
    const [cx, cy] = point(shown, 0), [endX, endY] = point(shown, LAST);
    add(svg, "circle", { cx: endX, cy: endY, r: 9, fill: "none", stroke: "var(--pmdx-run)", "stroke-width": 2.4 });
    add(svg, "circle", { cx, cy, r: 7, fill: "var(--pmdx-run)", stroke: "var(--pmdx-paper)", "stroke-width": 2 });
    add(svg, "circle", { cx, cy, r: 20, fill: "transparent", class: "pmdx-handle" });
  }

  // A chart against iterations 1, 2, .. on a logarithmic axis. Lines are [values, style]; marks are
  // numbers of iterates that get a cross.
  function drawChart(name, lines, { log = true, crosses = [] } = {}) {
    const svg = byId(name), [left, right, top, bottom] = [46, 292, 8, 146];
    svg.replaceChildren();
    const scale = log ? Math.log10 : (value) => value;
    const seen = lines.flatMap(([values]) => values.filter((value) => !log || value > 0)).map(scale);
    const finite = seen.filter(Number.isFinite);
    let [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
    if (log) [low, high] = [Math.floor(low), Math.max(Math.ceil(high), Math.floor(low) + 1)];
    else if (high - low < 1e-3 * Math.abs(high)) [low, high] = [low - 1e-3 * Math.abs(low), high + 1e-3 * Math.abs(high)];
    const x = (k) => left + (Math.log(data.times[k] + 1) / Math.log(data.iterations)) * (right - left);
    const y = (value) => bottom - ((scale(value) - low) / (high - low)) * (bottom - top);
    for (const t of [1, 10, 100]) {
      const at = left + (Math.log(t) / Math.log(data.iterations)) * (right - left);
      add(svg, "line", { x1: at, x2: at, y1: top, y2: bottom, stroke: "var(--pmdx-line)" });
      add(svg, "text", { x: at, y: bottom + 16, "text-anchor": "middle" }, t);
    }
    const digits = Math.max(3, 2 + Math.ceil(Math.log10(Math.abs(high) / (high - low))));
    const by = log ? Math.max(1, Math.ceil((high - low) / 4)) : (high - low) / 2;
    for (let level = low; level <= high + 1e-9 * Math.abs(high); level += by) {
      const at = bottom - ((level - low) / (high - low)) * (bottom - top);
      add(svg, "line", { x1: left, x2: right, y1: at, y2: at, stroke: "var(--pmdx-line)" });
      add(svg, "text", { x: left - 4, y: at + 4, "text-anchor": "end" }, log ? short(10 ** level) : level.toPrecision(digits));
    }
    for (const [values, style] of lines) {
      const good = (k) => (log ? values[k] > 0 : Number.isFinite(values[k]));
      drawPath(svg, path((k) => [x(k), y(values[k])], good), style);
      if (!style["stroke-dasharray"])
        values.forEach((value, k) => good(k) && add(svg, "circle", { cx: x(k), cy: y(value), r: 1.8, fill: style.stroke }));
    }
    for (const [k, value] of crosses) {
      const [cx, cy] = [x(k), Math.min(Math.max(y(value), top), bottom)];
      const d = `M${cx - 4} ${cy - 4}l8 8M${cx - 4} ${cy + 4}l8 -8`;
      add(svg, "path", { d, stroke: "var(--pmdx-bad)", "stroke-width": 2 });
    }
    add(svg, "text", { x: (left + right) / 2, y: bottom + 31, "text-anchor": "middle" }, "iteration");
  }

  function drawCharts(shown) {
    const main = { stroke: "var(--pmdx-run)", "stroke-width": 2 };
    const dark = { stroke: "var(--pmdx-ink)", "stroke-width": 2 };
    const bound = { stroke: "var(--pmdx-ink)", "stroke-width": 1.8, "stroke-dasharray": "5 4" };
    drawChart("potential", [[shown.potential.map((share) => share * picture().phiMax), main]], { log: false });
    drawChart("gap", [[shown.regret_bound, bound], [shown.regret, dark], [shown.nash_gap, main]]);
    const crosses = shown.improvement.map((change, k) => [k, -change]).filter(([, fall]) => fall > 0);
    const depth = [shown.improvement.map(Math.abs), { stroke: "none", "stroke-dasharray": "1" }]; // makes room for crosses
    drawChart("improvement", [depth, [shown.guarantee, bound], [shown.improvement, main]], { crosses });
    drawChart("c", [[shown.c, main]]);
    byId("no-bound").hidden = shown.regret_bound.some(Number.isFinite);
    byId("no-guarantee").hidden = shown.guarantee.some(Number.isFinite);
  }

  // Controls --------------------------------------------------------------------------------------

  function findStep() {
    const { steps, marks } = setting();
    const distance = (one) => Math.abs(Math.log(one.value / view.wanted));
    const nearest = () => steps.reduce((best, one, k) => (distance(one) < distance(steps[best]) ? k : best), 0);
    view.step = view.rule === null ? nearest() : marks[view.rule].at;
  }

  function drawMarks() {
    const { steps, marks } = setting(), letters = LETTERS[view.map], at = new Map();
    marks.forEach((mark, k) => at.set(mark.at, (at.get(mark.at) || "") + letters[k]));
    byId("marks").replaceChildren(...[...at].map(([place, text]) => {
      const span = document.createElement("span");
      span.textContent = text;
      span.style.left = `${(100 * place) / (steps.length - 1)}%`;
      return span;
    }));
    [...byId("rules").children].forEach((button, k) => {
      button.textContent = `${letters[k]}: ${marks[k].name}, ${steps[marks[k].at].shown}`;
      button.setAttribute("aria-pressed", view.rule === k);
    });
  }

  function show() {
    findStep();
    const shown = run(...view.start), { steps } = setting();
    root.dataset.map = view.map;
    byId("story").textContent = scene().story;
    byId("lesson").textContent = scene().lesson;
    byId("axes").textContent = `x, y: probability that an agent of group 1, of group 2 ${scene().action}; half of the agents are in each.`;
    byId("key-fixed").hidden = view.map !== "kl";
    const agents = data.agents[view.agents];
    const slide = (name, value, most, text, spoken) => {
      Object.assign(byId(name), { max: most, value });
      byId(name).setAttribute("aria-valuetext", spoken || text);
      byId(`${name}-shown`).textContent = text;
    };
    slide("agents", view.agents, data.agents.length - 1, `N = ${agents}`);
    slide("step", view.step, steps.length - 1, step().shown, step().line);
    slide("x", view.start[0], data.grid.length - 1, picture().grid[view.start[0]]);
    slide("y", view.start[1], data.grid.length - 1, picture().grid[view.start[1]]);
    drawMarks();
    drawPortrait(shown);
    drawCharts(shown);
    byId("line").textContent = words(shown);
  }

  const on = (name, event, change) =>
    byId(name).addEventListener(event, (happened) => { change(happened.target); show(); });

  function nearestStart(event) {
    const svg = byId("portrait"), box = svg.getBoundingClientRect(), unit = SIZE / box.width;
    const x = ((event.clientX - box.left) * unit - LEFT) / (RIGHT - LEFT);
    const y = (BOTTOM - (event.clientY - box.top) * unit) / (BOTTOM - TOP);
    const nearest = (place) => data.grid.reduce((best, one, k) => (Math.abs(one - place) < Math.abs(data.grid[best] - place) ? k : best), 0);
    return [nearest(x), nearest(y)];
  }

  function connect() {
    const option = (one, k) => new Option(one.title, k);
    byId("scene").append(...data.scenes.map(option));
    for (const [name, title] of Object.entries(data.maps)) {
      const label = document.createElement("label"), input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "pmdx-map", value: name, checked: name === view.map });
      label.append(input, ` ${title}`);
      byId("maps").append(label);
    }
    setting().marks.forEach((_, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => { view.rule = k; show(); });
      byId("rules").append(button);
    });
    on("scene", "change", (input) => { view.scene = Number(input.value); });
    on("maps", "change", (input) => { view.map = input.value; });
    on("agents", "input", (input) => { view.agents = Number(input.value); });
    on("step", "input", (input) => { view.rule = null; view.wanted = setting().steps[input.value].value; });
    on("x", "input", (input) => { view.start[0] = Number(input.value); });
    on("y", "input", (input) => { view.start[1] = Number(input.value); });
    on("all", "change", (input) => { view.all = input.checked; });
    const svg = byId("portrait");
    let dragging = false;
    const move = (event) => {
      const start = nearestStart(event);
      if (String(start) !== String(view.start)) { view.start = start; show(); }
    };
    svg.addEventListener("pointerdown", (event) => { // a finger beside the start scrolls the page
      if (event.pointerType !== "mouse" && event.target.getAttribute("class") !== "pmdx-handle") return;
      dragging = true;
      svg.setPointerCapture(event.pointerId);
      move(event);
    });
    svg.addEventListener("click", move);
    svg.addEventListener("pointermove", (event) => { if (dragging) move(event); });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { dragging = false; });
  }

  decode().then((found) => {
    numbers = found;
    connect();
    show();
    byId("controls").hidden = byId("view").hidden = false;
    byId("status").remove();
  }).catch((error) => {
    byId("status").textContent = `The picture could not be drawn: ${error.message}. It needs a browser from 2023 or later.`;
  });
})();
