"use strict";
// Starts every part that has data. What has none has no section in the page.

const report = JSON.parse(document.getElementById("data").textContent);
const tints = colours(report.runs);
report.runs.forEach((run, index) => { run.colour = tints[index]; });
const part = (id) => document.getElementById(id);

// Where the loss turns from all negatives to the hardest, if that is one place in all runs.
function warmup() {
  const found = new Set(report.runs.filter((run) => run.losses).map((run) => run.warmup));
  return found.size === 1 ? [...found][0] : 0;
}

if (part("curves")) {
  const lines = (name) => report.runs.map((run) => ({ name: run.name, colour: run.colour, points: run[name] || [] }));
  lineChart(part("curves"), "loss, summed over the batch (logarithmic)", lines("losses"),
    { log: true, change: warmup() });
  if (report.runs.some((run) => (run.recallSums || []).length)) {
    lineChart(part("curves"), "recall sum on validation (600 at best)", lines("recallSums"), { range: [0, 600] });
  }
}
if (part("sweep")) {
  const told = report.runs.filter((run) => run.swept);
  if (report.sweptKeys.length >= 2) heatMap(part("sweep"), told, report.sweptKeys);
  parallel(part("sweep"), told, report.sweptKeys);
}
if (part("ranks")) histograms(part("ranks"), report.runs, report.buckets);
whenPlaced.forEach((task) => task());
if (part("explorer")) explorer(part("explorer"), report.explorer);
