import { drawChart } from "./chart.js";
import { byId, make } from "./elements.js";
import { SAMPLES } from "./samples.js";
import { TASKS } from "./tasks.js";

const MEGABYTE = 1e6;
const POLL_MS = 1000;
const FIXED = 3; // digits of scores
let models = []; // as the server describes them
let task = ""; // the one that is shown
let rows = new Map(); // of the models of this task, by name
let asking = null; // ends what is being asked

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};
const digits = (value) => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// What a model is, before and after it is asked.
const addRow = (model) => {
  const cell = (label, text, kind) => make("td", { "data-label": label, class: kind }, text);
  const name = make("td", { class: "text model" }, model.name);
  const { model: from, build, isa, longest, fault } = model;
  name.append(make("small", {}, `${from}, ${build}, ${isa}, up to ${longest} tokens`));
  if (fault) name.append(make("small", {}, `no fidelity: ${fault}`));
  const row = {
    model,
    answer: make("td", { class: "text answer" }),
    score: cell(TASKS[task].score ?? "score", "", undefined),
    server: cell("server (ms)", "", "server"),
    trip: cell("round trip (ms)", "", "trip"),
    serverMs: NaN,
  };
  row.element = make(
    "tr",
    { "data-model": model.name },
    name,
    row.answer,
    row.score,
    row.server,
    row.trip,
    cell("sparsity", model.blocks.length ? `${(100 * model.sparsity).toFixed(1)} %` : "dense"),
    cell("blocks", model.blocks.join(", ") || "–"),
    cell("weights (MB)", (model.weights_bytes / MEGABYTE).toFixed(1)),
  );
  rows.set(model.name, row);
  byId("rows").append(row.element);
};

const say = (row, ...content) => row.answer.replaceChildren(make("div", {}, ...content));

const clear = (row) => {
  row.element.classList.remove("fault");
  for (const one of [row.answer, row.score, row.server, row.trip]) one.replaceChildren();
  row.server.classList.remove("good");
  row.serverMs = NaN;
};

// What it answered before does not count any more.
const showFault = (row, message) => {
  clear(row);
  row.element.classList.add("fault");
  say(row, message);
};

const showAnswer = (row, reply, values) => {
  const [first, ...others] = TASKS[task].read(reply, values);
  const text = first.parts
    ? make("span", {}, first.parts[0], make("mark", {}, first.parts[1]), first.parts[2])
    : first.text;
  const number = ({ score }) => (score === undefined ? "" : score.toFixed(FIXED));
  const list = make("ol", { start: 2 });
  for (const one of others) list.append(make("li", {}, `${one.text} (${number(one)})`));
  say(row, text, ...(others.length ? [list] : []));
  row.score.textContent = number(first);
};

const showTimes = (row, server, trip) => {
  row.serverMs = median(server);
  row.server.textContent = digits(row.serverMs);
  row.trip.textContent = digits(median(trip));
};

const showBars = () => {
  const known = [...rows.values()].filter(({ serverMs }) => serverMs >= 0);
  const [least, most] = ["min", "max"].map((of) => Math[of](...known.map((row) => row.serverMs)));
  for (const row of known) {
    const bar = make("span", { class: "bar" });
    bar.style.width = `${(100 * row.serverMs) / most}%`;
    row.server.replaceChildren(digits(row.serverMs), bar);
    row.server.classList.toggle("good", known.length > 1 && row.serverMs === least);
  }
};

const showChart = () => {
  if (!task) return;
  const judged = models.filter((one) => one.task === task && one.fidelity);
  const points = judged
    .map((model) => ({ model, ms: rows.get(model.name).serverMs }))
    .filter(({ ms }) => ms > 0)
    .map(({ model, ms }) => ({
      name: model.name,
      group: model.blocks.join(", ") || "dense",
      x: model.fidelity.value,
      y: 1000 / ms,
    }));
  byId("chart-card").hidden = !points.length;
  byId("chart-hint").hidden = judged.length > 0;
  if (!points.length) return;
  const { meaning, against, texts } = judged[0].fidelity;
  byId("chart-caption").textContent =
    `What lies up and to the right is better; the dotted line joins the models that no other one ` +
    `beats. Speed is what this page has just measured, fidelity what was evaluated before` +
    ` (of ${judged[0].name} against ${against} on ${counted(texts, "text")}).`;
  drawChart(byId("chart"), points, { x: meaning, y: "answers a second" });
};

// Ask one model so many times; its row says what it answers, or what is wrong.
const ask = async (row, values, times, signal) => {
  const [server, trip] = [[], []];
  row.element.classList.add("asked");
  try {
    for (let round = 0; round < times; round += 1) {
      const start = performance.now();
      const response = await fetch(`.${row.model.path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(TASKS[task].body(values, row.model)),
        signal,
      });
      const text = await response.text();
      trip.push(performance.now() - start);
      if (!response.ok) {
        let message = text;
        try {
          message = JSON.parse(text).error;
        } catch {
          // Whatever stands between us and the server said it.
        }
        showFault(row, `${response.status}: ${message}`);
        return;
      }
      const timing = response.headers.get("server-timing") ?? "";
      const total = /total;dur=([\d.]+)/.exec(timing);
      if (total) server.push(Number(total[1]));
      showAnswer(row, JSON.parse(text), values);
      if (server.length) showTimes(row, server, trip);
    }
  } catch (error) {
    if (!signal.aborted) showFault(row, `no answer: ${error.message}`);
  } finally {
    row.element.classList.remove("asked");
  }
};

const askAll = async () => {
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  const values = {};
  for (const { name } of TASKS[task].fields) values[name] = byId(`field-${name}`).value.trim();
  const times = Number(byId("times").value);
  for (const row of rows.values()) clear(row);
  let done = 0;
  for (const row of rows.values()) {
    byId("progress").textContent = `${done} of ${rows.size} have answered`;
    await ask(row, values, times, mine.signal);
    if (mine.signal.aborted) return;
    done += 1;
  }
  const faults = document.querySelectorAll("#rows .fault").length;
  byId("progress").textContent = faults ? `${counted(faults, "model")} did not answer` : "";
  showBars();
  showChart();
};

const fill = (sample) => {
  for (const { name } of TASKS[task].fields) byId(`field-${name}`).value = sample?.[name] ?? "";
};

const addFields = () => {
  byId("fields").replaceChildren(
    ...TASKS[task].fields.map(({ name, label, rows: height, optional }) => {
      const attributes = { id: `field-${name}`, required: optional ? false : "" };
      const field = make(height ? "textarea" : "input", { ...attributes, rows: height });
      return make("label", {}, label, field);
    }),
  );
  const samples = SAMPLES[task] ?? [];
  const options = samples.map(({ title }, index) => make("option", { value: index }, title));
  byId("sample").replaceChildren(...options);
  fill(samples[0]);
};

const showTask = (chosen) => {
  asking?.abort();
  task = chosen;
  rows = new Map();
  byId("rows").replaceChildren();
  byId("progress").textContent = "";
  byId("score-title").textContent = TASKS[task].score ?? "score";
  addFields();
  showModels();
};

// Rows for models that have none; what was asked stays.
const showModels = () => {
  for (const model of models.filter((one) => one.task === task)) {
    if (!rows.has(model.name)) addRow(model);
  }
  byId("ask").textContent = `Ask ${rows.size > 1 ? `all ${rows.size} models` : "the model"}`;
  byId("form").hidden = byId("results").hidden = !rows.size;
  showChart();
  byId("tasks").replaceChildren(
    ...Object.keys(TASKS).flatMap((name) => {
      const count = models.filter((one) => one.task === name).length;
      if (!count) return [];
      const button = make("button", { type: "button", "aria-pressed": String(name === task) });
      button.append(`${TASKS[name].title} (${count})`);
      button.addEventListener("click", () => {
        window.history.replaceState(null, "", `#${name}`);
        showTask(name);
      });
      return [button];
    }),
  );
};

const load = async () => {
  const about = byId("about");
  try {
    const response = await fetch("./page/models");
    const found = await response.json();
    if (!response.ok) throw new Error(found.error);
    models = found.models;
    const loading = found.loading.length ? `, loading ${found.loading.join(", ")} …` : "";
    about.textContent =
      `tvm_sparse ${found.version}, ${counted(models.length, "model")} of texts${loading}` +
      (models.length || loading ? "" : ": what is served here takes tensors alone");
    const wanted = decodeURIComponent(window.location.hash.slice(1));
    const there = (name) => models.some((one) => one.task === name);
    if (task) showModels();
    else if (models.length) showTask(there(wanted) ? wanted : models[0].task);
    if (found.loading.length) setTimeout(load, POLL_MS);
  } catch (error) {
    about.textContent = `The server does not answer: ${error.message}`;
    setTimeout(load, POLL_MS);
  }
};

window.addEventListener("resize", showChart);
byId("sample").addEventListener("change", ({ target }) => fill(SAMPLES[task][target.value]));
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  askAll();
});
load();
