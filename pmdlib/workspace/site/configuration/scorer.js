// Sphinx's own scores, but a heading that holds the whole query comes first.
var Scorer = {
  score: ([, , , , score, , kind]) => score + (kind === "title" ? 10 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
