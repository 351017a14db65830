// What may be asked, in our own words.

const LIGHTHOUSE =
  "The lighthouse at Cape Verrin was lit for the first time in the autumn of 1871. Its keeper, " +
  "Marta Holm, had sailed on grain ships before, and kept the lamp for thirty-four years. The " +
  "tower is built of grey granite, 41 metres high, and its light can be seen from 19 miles. " +
  "Since 1988 the lamp turns without a keeper, and the house beside it is a small museum of " +
  "knots, charts and weather.";
const HIVE =
  "A colony of honey bees keeps the middle of its nest at about 35 degrees, winter and summer. " +
  "When it is too cold, workers unhook their wings from the muscles of flight and shiver; when " +
  "it is too hot, they carry in drops of water and fan the air over them. Drones take no part " +
  "in either, and are driven out in autumn, when nectar becomes scarce.";

export const SAMPLES = {
  "question-answering": [
    { title: "a lighthouse", question: "Who kept the lamp?", context: LIGHTHOUSE },
    { title: "its light", question: "How far can the light be seen?", context: LIGHTHOUSE },
    { title: "bees", question: "What do the workers do when it is too hot?", context: HIVE },
  ],
  "text-classification": [
    { title: "praise", text: "The soup was hot, the bread was fresh, and nobody hurried us." },
    { title: "a complaint", text: "Two weeks late, one wheel missing, and no answer to my letters." },
    {
      title: "a pair",
      text: "The ferry leaves at seven every morning.",
      pair: "No ship leaves before noon.",
    },
  ],
  "zero-shot-classification": [
    {
      title: "a headline",
      text: "The river is expected to rise by another metre before Friday.",
      labels: "weather, sport, politics, cooking",
    },
    {
      title: "a request",
      text: "Please send the invoice again, the first one named the wrong street.",
      labels: "billing, delivery, praise",
    },
  ],
  "token-classification": [
    { title: "names", text: "Marta Holm sailed from Bergen to Lisbon for the Verrin Grain Company." },
    { title: "places", text: "The night train from Vienna reaches Trieste before the bakeries open." },
  ],
  "fill-mask": [
    { title: "a bird", text: "A small bird sings in the [MASK]." },
    { title: "bread", text: "She baked the [MASK] before the guests arrived." },
  ],
  "sentence-embedding": [
    {
      title: "what is alike",
      text: "How do I get my money back?",
      others:
        "Refunds are paid within ten days.\nOur shop opens at nine.\nThe parcel is on its way.\n" +
        "You can return what you bought.",
    },
    {
      title: "weather",
      text: "It will rain tomorrow.",
      others: "Take an umbrella.\nThe museum is closed on Mondays.\nThe sky stays clear all week.",
    },
  ],
  "feature-extraction": [
    { title: "one sentence", text: "A small bird sings in the old tree near the house." },
  ],
  "text-ranking": [
    {
      title: "a search",
      query: "how warm is a bee hive",
      documents: `${HIVE}\n${LIGHTHOUSE}\nHoney is sold in jars of half a kilogram.`,
    },
  ],
};
