// Colours, hatches, and how times and counts are written.
function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function theme(look) {
  const paper = css("--paper"), ink = css("--ink");
  const tints = {}, patterns = {};
  for (const [name, of] of Object.entries(look)) {
    tints[name] = mixed(of.colour, paper, 0.5);
    patterns[name] = of.hatch ? hatched(of.colour, of.hatch) : of.colour;
  }
  return {
    paper, ink, soft: css("--soft"), line: css("--line"), accent: css("--accent"), panel: css("--panel"),
    neutral: css("--neutral"), look, tints, patterns,
  };
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function mixed(colour, other, share) {
  const [a, b] = [rgb(colour), rgb(other)];
  return "#" + a.map((value, i) => Math.round(value * share + b[i] * (1 - share)).toString(16).padStart(2, "0")).join("");
}

// A tile of the colour with lines or dots, so that two categories of one colour are told apart.
function hatched(colour, kind) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = pen.fillStyle = "rgba(255,255,255,.75)";
  pen.lineWidth = 1.6;
  pen.beginPath();
  if (kind.includes("/")) {
    for (const [x, y] of [[-2, 2], [-2, 10], [6, 10]]) { pen.moveTo(x, y); pen.lineTo(x + 12, y - 12); }
    pen.stroke();
  } else {
    pen.arc(2, 2, 1.3, 0, 7); pen.arc(6, 6, 1.3, 0, 7); pen.fill();
  }
  return pen.createPattern(tile, "repeat");
}

function significant(value) {
  if (!value) return "0";
  const rounded = Number(value.toPrecision(3));
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))));
  return rounded.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function time(ms) {
  if (Math.abs(ms) < 1) return `${significant(1000 * ms)} us`;
  return Math.abs(ms) < 10000 ? `${significant(ms)} ms` : `${significant(ms / 1000)} s`;
}

function many(count, word, words = `${word}s`) {
  return `${count.toLocaleString("en-US")} ${count === 1 ? word : words}`;
}

// A text cut in its middle to a width in pixels, "" where not even a few letters fit. The font is monospaced.
function fitted(text, width, letter) {
  const most = Math.floor(width / letter);
  if (text.length <= most) return text;
  if (most < 4) return "";
  const kept = most - 1;
  return text.slice(0, Math.ceil(kept / 2)) + "\u2026" + text.slice(text.length - Math.floor(kept / 2));
}
