// For each task: its fields, the body that asks a model, and what its reply says, line by line.
// A line has a text, a score, and of a text that is marked its parts.

const lines = (text) => text.split("\n").map((one) => one.trim()).filter(Boolean);
const shown = (number) => number.toLocaleString("en");

const cosine = (a, b) => {
  const dot = (u, v) => u.reduce((sum, value, index) => sum + value * v[index], 0);
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
};
const best = (found) => found.sort((a, b) => b.score - a.score);

// Where an answer stands in its text, with some words around it.
const around = (text, start, end) => {
  const [before, after] = [text.slice(Math.max(0, start - 40), start), text.slice(end, end + 40)];
  return [
    start > 40 ? before.replace(/^\S*\s/, "… ") : before,
    text.slice(start, end),
    end + 40 < text.length ? after.replace(/\s\S*$/, " …") : after,
  ];
};
// The server counts characters, JavaScript halves of some.
const atCharacters = (text, start, end) => {
  const all = Array.from(text);
  return [start, end].map((place) => all.slice(0, place).join("").length);
};

export const TASKS = {
  "question-answering": {
    title: "answer a question",
    fields: [
      { name: "question", label: "question" },
      { name: "context", label: "passage", rows: 6 },
    ],
    body: ({ question, context }) => ({ question, context }),
    read: ({ answer, score, start, end }, { context }) => {
      if (!answer) return [{ text: "no answer", score }];
      const [from, to] = atCharacters(context, start, end);
      return [{ text: answer, score, parts: around(context, from, to) }];
    },
  },
  "text-classification": {
    title: "classify",
    fields: [
      { name: "text", label: "text", rows: 3 },
      { name: "pair", label: "second text, for models of pairs", rows: 2, optional: true },
    ],
    body: ({ text, pair }) => ({ sequences: [pair ? [text, pair] : text] }),
    read: ({ labels, scores }) =>
      [labels[0]].flat().map((label, index) => ({ text: label, score: [scores[0]].flat()[index] })),
  },
  "zero-shot-classification": {
    title: "classify into classes of yours",
    fields: [
      { name: "text", label: "text", rows: 3 },
      { name: "labels", label: "classes, with commas between them" },
    ],
    body: ({ text, labels }) => ({
      sequences: text,
      labels: labels.split(",").map((one) => one.trim()).filter(Boolean),
    }),
    read: ({ labels, scores }) =>
      labels.map((label, index) => ({ text: label, score: scores[index] })),
  },
  "token-classification": {
    title: "tag words",
    fields: [{ name: "text", label: "text", rows: 4 }],
    body: ({ text }) => ({ inputs: [text] }),
    read: ({ predictions }, { text }) => {
      const found = predictions[0].map(({ entity, entity_group: group, score, start, end }) => {
        const [from, to] = atCharacters(text, start, end);
        return { text: `${text.slice(from, to)}: ${group ?? entity}`, score };
      });
      return found.length ? found : [{ text: "nothing tagged" }];
    },
  },
  "fill-mask": {
    title: "fill in a word",
    fields: [{ name: "text", label: "text with [MASK] for the word", rows: 3 }],
    body: ({ text }, { mask }) => ({ inputs: [text.replaceAll("[MASK]", mask || "[MASK]")] }),
    read: ({ predictions }) =>
      // Of several masks each has a list.
      predictions[0].flat().map(({ token_str: text, score }) => ({ text: text || "–", score })),
  },
  "sentence-embedding": {
    title: "compare sentences",
    score: "cosine",
    fields: [
      { name: "text", label: "text", rows: 2 },
      { name: "others", label: "texts to compare it with, one a line", rows: 4 },
    ],
    body: ({ text, others }) => ({ inputs: [text, ...lines(others)] }),
    read: ({ embeddings }, { others }) =>
      best(
        lines(others).map((text, index) => ({
          text,
          score: cosine(embeddings[0], embeddings[index + 1]),
        })),
      ),
  },
  "feature-extraction": {
    title: "hidden states",
    score: "mean",
    fields: [{ name: "text", label: "text", rows: 3 }],
    body: ({ text }) => ({ inputs: [text] }),
    read: ({ embeddings: [values] }) => {
      const first = values.slice(0, 4).map((value) => value.toFixed(3)).join(", ");
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return [{ text: `${shown(values.length)} numbers: ${first} …`, score: mean }];
    },
  },
  "text-ranking": {
    title: "rank texts",
    fields: [
      { name: "query", label: "query" },
      { name: "documents", label: "texts, one a line", rows: 6 },
    ],
    body: ({ query, documents }) => ({ query, documents: lines(documents) }),
    read: ({ results }, { documents }) => {
      const texts = lines(documents);
      return results.map(({ corpus_id: place, score }) => ({ text: texts[place], score }));
    },
  },
};
