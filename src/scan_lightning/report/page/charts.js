"use strict";
// Training curves, rank histograms, and what a sweep came to.

function lineChart(parent, title, lines, { log = false, range = null, change = 0 } = {}) {
  const shown = lines.filter((line) => line.points.length);
  const card = make("div", { class: "card" }, make("h3", {}, title));
  parent.append(card);
  whenPlaced.push(() => drawLines(card, title, shown, { log, range, change }));
}

function drawLines(card, title, shown, { log, range, change }) {
  const [width, height, left, right, top, bottom] = [chartWidth(card), 260, 52, 14, 12, 34];
  const values = shown.flatMap((line) => line.points.map((point) => point[1])).filter((v) => !log || v > 0);
  const steps = shown.flatMap((line) => line.points.map((point) => point[0]));
  const reach = range || [Math.min(...values), Math.max(...values)];
  const place = log ? Math.log10 : (value) => value;
  const x = linear([0, Math.max(...steps)], [left, width - right]);
  const y = linear(reach.map(place), [height - bottom, top]);
  const svg = draw("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const tick of log ? logTicks(...reach) : ticks(...reach, 6)) {
    const level = y(place(tick));
    svg.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: level, y2: level }));
    svg.append(label(left - 6, level + 4, short(tick), { "text-anchor": "end" }));
  }
  for (const tick of ticks(0, Math.max(...steps), width / 90)) {
    svg.append(label(x(tick), height - bottom + 16, short(tick), { "text-anchor": "middle" }));
  }
  svg.append(label((left + width - right) / 2, height - 3, "optimizer step", { "text-anchor": "middle" }));
  if (change > 0 && change < Math.max(...steps)) {
    const [at, level] = [x(change + 0.5), top - 2];
    svg.append(draw("line", { class: "change", x1: at, x2: at, y1: 0, y2: height - bottom }));
    if (at - left > 90) svg.append(label(at - 6, level, "all negatives", { "text-anchor": "end" }));
    svg.append(label(at + 6, level, "hardest negatives"));
  }
  // The coloured ones last, above those that share a colour.
  [...shown].sort((a, b) => (a.colour === OTHERS ? 0 : 1) - (b.colour === OTHERS ? 0 : 1)).forEach((line) => {
    const points = line.points.filter((point) => !log || point[1] > 0);
    const path = points.map((point) => `${x(point[0]).toFixed(1)},${y(place(point[1])).toFixed(1)}`).join(" ");
    svg.append(draw("polyline", { points: path, fill: "none", style: `stroke:${line.colour}`, "stroke-width": 2 },
      draw("title", {}, line.name)));
    if (points.length < 40) {
      points.forEach((point) => svg.append(
        draw("circle", { cx: x(point[0]), cy: y(place(point[1])), r: 3, style: `fill:${line.colour}` },
          draw("title", {}, `${line.name}: ${short(point[1])} at step ${short(point[0])}`)),
      ));
    }
  });
  card.append(svg, legend(shown));
}

// Charts are drawn when all cards stand in their places, for only then their widths are known.
const whenPlaced = [];

// As wide as there is room, so that letters keep their size on a phone.
function chartWidth(card) {
  return Math.max(280, Math.min(card.clientWidth - 32, 640));
}

function logTicks(low, high) {
  const found = [];
  const factors = high / low > 20 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of factors) found.push(factor * 10 ** power);
  }
  return found.filter((tick) => tick >= low && tick <= high);
}

function legend(lines) {
  const named = lines.filter((line) => line.colour !== OTHERS);
  const rest = lines.length - named.length;
  const entries = named.map((line) => [line.colour, line.name]);
  if (rest) entries.push([OTHERS, `${rest} more`]);
  return make("ul", { class: "legend" }, ...entries.map(([colour, name]) => make(
    "li", {}, make("span", { style: `background:${colour}` }), name,
  )));
}

function histograms(parent, runs, buckets) {
  for (const [side, title] of [["i2t", "image to text"], ["t2i", "text to image"]]) {
    const shown = runs.filter((run) => run.histogram);
    const card = make("div", { class: "card" }, make("h3", {}, `${title}: share of queries by rank`));
    parent.append(card);
    whenPlaced.push(() => drawHistogram(card, title, side, shown, buckets));
  }
}

function drawHistogram(card, title, side, shown, buckets) {
  const [width, height, left, top, bottom] = [chartWidth(card), 230, 40, 16, 40];
  const svg = draw("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${title}: ranks of the best right answer` });
  const shares = shown.map((run) => run.histogram[side]);
  const most = Math.max(...shares.flat(), 1);
  const y = linear([0, most], [height - bottom, top]);
  for (const tick of ticks(0, most, 5)) {
    svg.append(draw("line", { class: "axis", x1: left, x2: width, y1: y(tick), y2: y(tick) }));
    svg.append(label(left - 6, y(tick) + 4, `${short(tick)} %`, { "text-anchor": "end" }));
  }
  const slot = (width - left) / buckets.length;
  const bar = Math.min((slot * 0.8) / shown.length, 46);
  buckets.forEach((bucket, place) => {
    const middle = left + slot * (place + 0.5);
    svg.append(label(middle, height - bottom + 16, bucket,
      { "text-anchor": "middle", style: slot < 46 ? "font-size:9px" : null }));
    shown.forEach((run, order) => {
      const share = shares[order][place];
      const start = middle + (order - shown.length / 2) * bar;
      svg.append(draw("rect", { x: start + 0.5, y: y(share), width: bar - 1, height: y(0) - y(share), rx: 2,
        style: `fill:${run.colour}` }, draw("title", {}, `${run.name}: ${share.toFixed(1)} % at rank ${bucket}`)));
      if (shown.length === 1) {
        svg.append(label(middle, y(share) - 4, `${share.toFixed(1)}`, { "text-anchor": "middle", class: "strong" }));
      }
    });
  });
  svg.append(label((left + width) / 2, height - 4, "rank of the best right answer", { "text-anchor": "middle" }));
  card.append(svg, legend(shown));
}

function heatMap(parent, runs, keys) {
  const card = make("div", { class: "card" }, make("h3", {}, "rsum by two settings"));
  parent.append(card);
  whenPlaced.push(() => fillHeatMap(card, runs, keys));
}

function fillHeatMap(card, runs, keys) {
  const pick = (chosen) => make("select", {}, ...keys.map((key, i) => {
    return make("option", { value: i, ...(i === chosen ? { selected: "" } : {}) }, key);
  }));
  const [across, down] = [pick(0), pick(1)];
  card.append(make("p", { class: "small" }, make("label", {}, "across ", across), " ", make("label", {}, "down ", down)));
  const holder = make("div", { class: "scroll" });
  card.append(holder);
  const say = noteBelow(card);
  const show = () => {
    const [columnKey, rowKey] = [keys[across.value], keys[down.value]];
    const [columns, rows] = [columnKey, rowKey].map((key) => ordered(runs, key));
    const sums = runs.map((run) => run.rsum);
    const share = linear([Math.min(...sums), Math.max(...sums)], [0, 1]);
    const [high, left, top] = [46, 16 + 7 * Math.max(...rows.map((value) => value.length)), 26];
    const size = Math.min(Math.max((card.clientWidth - 32 - left) / columns.length, 58), 110);
    const width = left + columns.length * size;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${top + rows.length * high}`, width, role: "group", "aria-label": "heat map" });
    const cells = [];
    columns.forEach((value, i) => svg.append(label(left + (i + 0.5) * size, 16, value, { "text-anchor": "middle" })));
    rows.forEach((rowValue, j) => {
      svg.append(label(left - 8, top + (j + 0.5) * high + 4, rowValue, { "text-anchor": "end" }));
      columns.forEach((columnValue, i) => {
        const inside = runs.filter((run) => run.swept[columnKey] === columnValue && run.swept[rowKey] === rowValue);
        if (!inside.length) return;
        const best = inside.reduce((a, b) => (b.rsum > a.rsum ? b : a));
        const told = `${best.name}: rsum ${best.rsum.toFixed(1)}${inside.length > 1 ? `, the best of ${inside.length} runs` : ""}`;
        const cell = draw("rect", { class: "cell", x: left + i * size + 1, y: top + j * high + 1, width: size - 2,
          height: high - 2, rx: 4, fill: viridis(share(best.rsum)), role: "img", "aria-label": told });
        answer(cell, () => say(told), () => say(""));
        cells.push(cell);
        svg.append(cell, label(left + (i + 0.5) * size, top + (j + 0.5) * high + 4, best.rsum.toFixed(1),
          { "text-anchor": "middle", style: `fill:${inkOn(share(best.rsum))};pointer-events:none` }));
      });
    });
    roving(cells);
    holder.replaceChildren(svg);
  };
  across.addEventListener("change", show);
  down.addEventListener("change", show);
  show();
}

function ordered(runs, key) {
  const values = [...new Set(runs.map((run) => run.swept[key]))];
  const numbers = values.every((value) => value !== "" && !Number.isNaN(Number(value)));
  return values.sort(numbers ? (a, b) => a - b : undefined);
}

function parallel(parent, runs, keys) {
  const card = make("div", { class: `card ${keys.length > 2 ? "wide" : ""}` },
    make("h3", {}, "every run, from settings to recall"));
  parent.append(card);
  whenPlaced.push(() => drawParallel(card, runs, keys));
}

function drawParallel(card, runs, keys) {
  const axes = [
    ...keys.map((key) => ({ name: key.split(".").pop(), full: key, of: (run) => run.swept[key], values: ordered(runs, key) })),
    ...["i2t R@1", "t2i R@1", "rsum"].map((name) => ({ name, full: name, of: (run) => run.recalls[name] })),
  ];
  const [height, top, bottom, side] = [300, 44, 14, 46];
  const width = 2 * side + (axes.length - 1) * Math.max(96, (card.clientWidth - 32 - 2 * side) / (axes.length - 1));
  const x = linear([0, axes.length - 1], [side, width - side]);
  axes.forEach((axis) => {
    if (axis.values) {
      const place = linear([0, Math.max(axis.values.length - 1, 1)], [height - bottom, top]);
      axis.y = (run) => place(axis.values.length === 1 ? 0.5 : axis.values.indexOf(axis.of(run)));
      axis.marks = axis.values.map((value, i) => [place(axis.values.length === 1 ? 0.5 : i), value]);
    } else {
      const found = runs.map(axis.of);
      const reach = [Math.min(...found), Math.max(...found)];
      const place = linear(reach, [height - bottom, top]);
      axis.y = (run) => (reach[0] === reach[1] ? (height - bottom + top) / 2 : place(axis.of(run)));
      axis.marks = reach[0] === reach[1]
        ? [[(height - bottom + top) / 2, reach[0].toFixed(1)]] : reach.map((value) => [place(value), value.toFixed(1)]);
    }
  });
  const sums = runs.map((run) => run.rsum);
  const share = linear([Math.min(...sums), Math.max(...sums)], [0.05, 0.95]);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "group", "aria-label": "parallel coordinates" });
  axes.forEach((axis, i) => {
    svg.append(draw("line", { class: "axis", x1: x(i), x2: x(i), y1: top, y2: height - bottom, "stroke-width": 2 }));
    svg.append(label(x(i), 14, axis.name, { "text-anchor": "middle", class: "strong" }));
  });
  const say = noteBelow(card);
  const lines = [...runs].sort((a, b) => a.rsum - b.rsum).map((run) => {
    const told = `${run.name}: ${keys.map((key) => `${key} ${run.swept[key]}`).join(", ")}; rsum ${run.rsum.toFixed(1)}`;
    const line = draw("polyline", { class: "line", points: axes.map((axis, i) => `${x(i)},${axis.y(run)}`).join(" "),
      stroke: viridis(share(run.rsum)), "stroke-width": 2.5, role: "img", "aria-label": told });
    const set = (on) => {
      svg.classList.toggle("faded", on);
      line.classList.toggle("chosen", on);
      say(on ? told : "");
    };
    answer(line, () => set(true), () => set(false));
    svg.append(line);
    return line;
  });
  roving(lines.reverse());  // the best run first
  axes.forEach((axis, i) => axis.marks.forEach(([level, text]) => svg.append(label(x(i) + 5, level - 5, text, {
    style: "paint-order:stroke;stroke:var(--card);stroke-width:3px;pointer-events:none" }))));
  card.insertBefore(make("div", { class: "scroll" }, svg), card.lastChild);
}
