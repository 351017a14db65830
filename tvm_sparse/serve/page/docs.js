// The OpenAPI document as a page: every operation, what it takes and answers, and a try of it.

import { byId, make } from "./elements.js";

const JSON_TYPE = "application/json";
const MOST_SHOWN = 20000; // characters of an answer
const write = (value) => JSON.stringify(value, null, 2);

// A schema with what it refers to, as far as that does not lead in circles.
const resolve = (schema, named, above = []) => {
  if (Array.isArray(schema)) return schema.map((one) => resolve(one, named, above));
  if (schema === null || typeof schema !== "object") return schema;
  const name = schema.$ref?.split("/").at(-1);
  if (name) return above.includes(name) ? {} : resolve(named[name], named, [...above, name]);
  const entries = Object.entries(schema).map(([key, one]) => [key, resolve(one, named, above)]);
  return Object.fromEntries(entries);
};

const folded = (title, text) =>
  make("details", {}, make("summary", {}, title), make("pre", {}, text));

const describeResponses = (responses, named) => {
  const list = make("ul", { class: "soft" });
  for (const [status, { description }] of Object.entries(responses)) {
    list.append(make("li", {}, make("strong", {}, status), ` ${description}`));
  }
  const schema = responses["200"].content?.[JSON_TYPE]?.schema;
  return [list, ...(schema ? [folded("schema of the answer", write(resolve(schema, named)))] : [])];
};

// Ask the server, and show the status, the time and the answer.
const send = async (method, path, body, place) => {
  place.textContent = "…";
  const start = performance.now();
  try {
    const headers = body === undefined ? {} : { "content-type": JSON_TYPE };
    const response = await fetch(`.${path}`, { method, body, headers });
    const text = await response.text();
    const took = (performance.now() - start).toFixed(1);
    let shown = text;
    try {
      shown = write(JSON.parse(text));
    } catch {
      // Metrics and pages are no JSON.
    }
    const cut = shown.length > MOST_SHOWN ? `${shown.slice(0, MOST_SHOWN)}\n…` : shown;
    place.textContent = `${response.status} in ${took} ms\n\n${cut}`;
  } catch (error) {
    place.textContent = `no answer: ${error.message}`;
  }
};

const trial = (method, path, { parameters = [], requestBody }) => {
  const choices = parameters.map(({ name, schema }) => {
    if (!schema.enum) return [name, make("input")];
    const options = schema.enum.map((one) => make("option", { value: one }, one));
    return [name, make("select", {}, ...options)];
  });
  const example = requestBody?.content[JSON_TYPE]?.example;
  const field = requestBody && make("textarea", { rows: write(example).split("\n").length });
  if (field) field.value = write(example);
  const answer = make("pre", { hidden: "" });
  const button = make("button", { type: "button" }, "try it");
  button.addEventListener("click", () => {
    answer.hidden = false;
    const chosen = (whole, [name, { value }]) =>
      whole.replace(`{${name}}`, encodeURIComponent(value));
    send(method.toUpperCase(), choices.reduce(chosen, path), field?.value, answer);
  });
  const labels = choices.map(([name, choice]) => make("label", {}, `${name} `, choice));
  const controls = make("div", { class: "controls" }, ...labels, button);
  return make("div", { class: "try" }, ...(field ? [field] : []), controls, answer);
};

const addOperation = (place, method, path, operation, named) => {
  const title = make("summary", {}, make("span", { class: `method ${method}` }, method), " ");
  title.append(make("code", {}, path), make("span", { class: "soft" }, ` ${operation.summary}`));
  const whole = make("details", { class: "card", "data-path": path }, title);
  // Filled when it is opened: many models make a long page.
  const fill = () => {
    const schema = operation.requestBody?.content[JSON_TYPE]?.schema;
    whole.append(
      ...(schema ? [folded("schema of the request", write(resolve(schema, named)))] : []),
      trial(method, path, operation),
      ...describeResponses(operation.responses, named),
    );
  };
  whole.addEventListener("toggle", fill, { once: true });
  place.append(whole);
};

const show = ({ info, paths, components }) => {
  byId("title").textContent = `${info.title} ${info.version}: API`;
  byId("about").textContent = info.description;
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const [tag] = operation.tags;
      groups.set(tag, [...(groups.get(tag) ?? []), [method, path, operation]]);
    }
  }
  for (const [tag, operations] of groups) {
    const section = make("section", {}, make("h2", {}, tag));
    for (const one of operations) addOperation(section, ...one, components.schemas);
    byId("operations").append(section);
  }
};

try {
  const response = await fetch("./openapi.json");
  if (!response.ok) throw new Error(String(response.status));
  show(await response.json());
} catch (error) {
  byId("about").textContent = `The description cannot be read: ${error.message}`;
}
