"use strict";
// The attention explorer: a word lights its regions, a region its words; right and wrong sentence side by side.

let masks = 0;

class Side {
  constructor(parent, title, kind, direction) {
    this.direction = direction;
    this.choice = make("select", { "aria-label": title });
    this.text = make("p", { class: "sentence" });
    this.holder = make("div");
    this.words = make("div", { class: "words", role: "group", "aria-label": "words" });
    const card = make("div", { class: "card", "data-side": kind }, make("h3", { class: kind }, title), this.choice,
      this.text, this.holder, this.words);
    this.say = noteBelow(card);
    parent.append(card);
    this.choice.addEventListener("change", () => this.show(this.picture, this.sentences, Number(this.choice.value)));
    card.addEventListener("keydown", (event) => this.key(event));
  }

  show(picture, sentences, chosen = 0) {
    this.picture = picture;
    this.sentences = sentences;
    this.hovered = null;
    this.choice.replaceChildren(...sentences.map((sentence, i) => make(
      "option", { value: i, ...(i === chosen ? { selected: "" } : {}) }, `${signed(sentence.score, 3)}  ${sentence.text}`,
    )));
    this.choice.hidden = sentences.length < 2;
    this.sentence = sentences[chosen] || null;
    this.pinned = this.sentence && { word: sharpest(this.sentence, this.direction) };
    this.holder.replaceChildren();
    this.words.replaceChildren();
    if (!this.sentence) {
      this.text.textContent = "No such sentence.";
      this.say("");
      return;
    }
    this.text.replaceChildren(make("span", {}, `“${this.sentence.text}” `),
      make("span", { class: "score" }, `similarity ${signed(this.sentence.score, 3)}`));
    this.drawPicture();
    this.drawWords();
    this.paint();
  }

  drawPicture() {
    const { width, height, boxes, source } = this.picture;
    const area = { x: 0, y: 0, width, height };
    const id = `mask-${masks += 1}`;
    this.lights = boxes.map((box) => draw("rect", { ...place(box), fill: "#000", "fill-opacity": 0 }));
    this.dark = draw("rect", { ...area, fill: "#000", "fill-opacity": 0.68, mask: `url(#${id})` });
    this.frames = boxes.map((box, region) => this.frame(box, region));
    // Small regions on top, where a pointer can reach them.
    const order = boxes.map((box, region) => [place(box), region]).sort(([a], [b]) => b.width * b.height - a.width * a.height);
    roving(order.map(([, region]) => this.frames[region]));
    const svg = draw("svg", { class: "picture", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "regions",
      style: `width:min(100%,${((22 * width) / height).toFixed(2)}rem)` },
      draw("mask", { id, maskUnits: "userSpaceOnUse", ...area }, draw("rect", { ...area, fill: "#fff" }), ...this.lights),
      source ? draw("image", { ...area, href: source, preserveAspectRatio: "none" }) : draw("rect", { ...area, fill: "#262a32" }),
      this.dark, ...order.map(([, region]) => this.frames[region]));
    this.holder.replaceChildren(svg);
  }

  frame(box, region) {
    const node = draw("rect", { class: "region", ...place(box), role: "button", "data-region": region,
      "aria-label": `region ${region + 1}` });
    this.listen(node, { region });
    return node;
  }

  drawWords() {
    // One scale for all sentences of the picture, so that right and wrong can be compared.
    const reach = Math.max(0.5, ...this.picture.sentences.flatMap((sentence) => sentence.relevance.map(Math.abs)));
    this.chips = this.sentence.words.map((word, index) => {
      const chip = make("button", { class: "word", type: "button", "data-word": index }, word);
      if (this.direction === "t2i") {
        const relevance = this.sentence.relevance[index];
        const bar = make("i", { class: relevance < 0 ? "below" : null,
          style: `width:${((100 * Math.abs(relevance)) / reach).toFixed(0)}%` });
        chip.append(make("span", { class: "bar" }, bar));
      }
      this.listen(chip, { word: index });
      return chip;
    });
    roving(this.chips);
    this.words.replaceChildren(...this.chips);
  }

  // Hovering and focus show; a click or a tap holds until the next one. A region is shown on both sides.
  listen(node, target) {
    const sides = () => (target.region !== undefined && this.partner.sentence ? [this, this.partner] : [this]);
    const show = (shown) => sides().forEach((side) => { side.hovered = shown; side.paint(); });
    answer(node, () => show(target), () => show(null));
    node.addEventListener("click", () => {
      const same = this.pinned && this.pinned.word === target.word && this.pinned.region === target.region;
      this.pinned = same ? null : target;
      if (same) this.hovered = null;
      this.paint();
    });
  }

  key(event) {
    if (event.key === "Escape") {
      this.pinned = this.hovered = null;
      this.paint();
    } else if (event.key === "Enter" || event.key === " ") {
      if (event.target.classList.contains("region")) {
        event.preventDefault();
        event.target.dispatchEvent(new Event("click"));
      }
    }
  }

  paint() {
    if (!this.sentence) return;
    const shown = this.hovered || this.pinned || {};
    const { weights } = this.sentence;
    const { heat, source } = this.picture;
    const byRegion = this.picture.boxes.map((_, region) => (
      shown.word === undefined ? null : weights[shown.word][region] / heat));
    this.dark.setAttribute("visibility", source && (shown.word !== undefined || shown.region !== undefined) ? "visible" : "hidden");
    this.frames.forEach((frame, region) => {
      const share = byRegion[region];
      const told = share !== null;
      const pointed = shown.region === region;
      this.lights[region].setAttribute("fill-opacity", told ? share : Number(pointed));
      frame.setAttribute("stroke", told ? viridis(source ? share : Math.max(share, 0.3)) : "#ffffff");
      frame.setAttribute("stroke-width", told ? 1 + 3 * share : pointed ? 4 : 1.2);
      frame.setAttribute("stroke-opacity", told ? 0.35 + 0.65 * share : pointed ? 1 : 0.55);
      frame.setAttribute("fill", source ? "transparent" : told ? viridis(share) : pointed ? "#ffffff" : "transparent");
      frame.setAttribute("fill-opacity", 0.15 + 0.7 * (share || 0));
    });
    this.chips.forEach((chip, word) => {
      const share = shown.region === undefined ? null : weights[word][shown.region] / heat;
      chip.classList.toggle("lit", shown.word === word);
      chip.classList.toggle("shaded", share !== null);
      chip.style.background = share === null ? "" : viridis(share);
      chip.style.color = share === null ? "" : inkOn(share);
    });
    this.say(this.told(shown));
  }

  told(shown) {
    const { weights, words, relevance } = this.sentence;
    const t2i = this.direction === "t2i";
    if (shown.word !== undefined) {
      const row = weights[shown.word];
      const most = row.indexOf(Math.max(...row));
      const strength = row[most].toFixed(2);
      return t2i
        ? `“${words[shown.word]}” attends most to region ${most + 1} (weight ${strength}); relevance R ${signed(relevance[shown.word])}`
        : `“${words[shown.word]}” is attended to most by region ${most + 1} (weight ${strength})`;
    }
    if (shown.region !== undefined) {
      const column = weights.map((row) => row[shown.region]);
      const most = column.indexOf(Math.max(...column));
      const strength = column[most].toFixed(2);
      return t2i
        ? `region ${shown.region + 1} is attended to most by “${words[most]}” (weight ${strength})`
        : `region ${shown.region + 1} attends most to “${words[most]}” (weight ${strength}); relevance R ${signed(relevance[shown.region])}`;
    }
    return "Point at a word or a region, or tab to it; a click keeps it selected.";
  }
}

// What a side shows first: the word that looks at one region most, and finds there what it looks for.
function sharpest({ weights, relevance }, direction) {
  const strongest = weights.map((row, word) => Math.max(...row) * (direction === "t2i" ? relevance[word] : 1));
  return strongest.indexOf(Math.max(...strongest));
}

function place([x1, y1, x2, y2]) {
  return { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
}

function thumbnail(picture) {
  if (picture.source) return make("img", { src: picture.source, alt: "" });
  return draw("svg", { viewBox: `0 0 ${picture.width} ${picture.height}`, "aria-hidden": "true" },
    draw("rect", { width: picture.width, height: picture.height, fill: "#262a32" }),
    ...picture.boxes.map((box) => draw("rect", { ...place(box), fill: "none", stroke: "#fff", "stroke-opacity": 0.6,
      "vector-effect": "non-scaling-stroke" })));
}

function explorer(parent, { direction, pictures }) {
  const strip = make("div", { class: "thumbs", role: "group", "aria-label": "pictures" });
  const about = make("p", { class: "quiet small", "aria-live": "polite" });
  const pair = make("div", { class: "pair" });
  const scale = make("div", { class: "scale" }, "weight 0",
    make("i", { style: `background:linear-gradient(to right,${[0, 0.25, 0.5, 0.75, 1].map(viridis).join(",")})` }),
    make("span", {}));
  parent.append(strip, about, scale, pair);
  const right = new Side(pair, "Right sentence", "right", direction);
  const wrong = new Side(pair, "Hardest wrong sentence", "wrong", direction);
  right.partner = wrong;
  wrong.partner = right;
  const buttons = pictures.map((picture, index) => {
    const button = make("button", { type: "button", "aria-pressed": "false", title: picture.id }, thumbnail(picture));
    button.setAttribute("aria-label", `picture ${index + 1}, ${picture.id}`);
    button.addEventListener("click", () => choose(index));
    strip.append(button);
    return button;
  });
  roving(buttons, (button) => button.click());
  function choose(index) {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
    const picture = pictures[index];
    const own = picture.sentences.filter((sentence) => sentence.right);
    const others = picture.sentences.filter((sentence) => !sentence.right);
    const where = picture.placed ? "" : " of unknown place, laid out as a grid";
    const rank = picture.rank
      ? `; its best right sentence is number ${picture.rank.toLocaleString("en")} of ${picture.total.toLocaleString("en")}` : "";
    about.textContent = `${picture.id}: ${picture.boxes.length} regions${where}${rank}`;
    scale.lastChild.textContent = picture.heat.toFixed(2);
    right.show(picture, own);
    wrong.show(picture, others);
  }
  choose(0);
}
