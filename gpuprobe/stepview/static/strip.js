// The breakdown along the axis. Where a pixel holds several categories, each has its share of the height.
function shares(strip, from, to, width) {
  const kinds = strip.categories.length + 1, perPixel = (to - from) / width;
  const held = new Float32Array(width * kinds);
  for (let i = Math.max(0, placeAt(strip.start, from)); i < strip.start.length && strip.start[i] < to; i++) {
    const ends = i + 1 < strip.start.length ? strip.start[i + 1] : strip.end;
    const begin = (Math.max(strip.start[i], from) - from) / perPixel;
    const end = (Math.min(ends, to) - from) / perPixel;
    const category = strip.category[i];
    for (let x = Math.floor(begin); x < end && x < width; x++) {
      held[x * kinds + category] += Math.min(end, x + 1) - Math.max(begin, x);
    }
  }
  return held;
}

function drawStrip(pen, look, strip, view, box, chosen) {
  const { y, width, height } = box, kinds = strip.categories.length + 1;
  const held = shares(strip, view.from, view.to, width);
  const fill = (category, x, top, across, tall) => {
    const name = strip.categories[category];
    if (name === undefined || tall <= 0) return;
    pen.globalAlpha = chosen && chosen !== name ? 0.18 : 1;
    pen.fillStyle = look.patterns[name];
    pen.fillRect(x, y + top, across, tall);
  };
  let run = -1, since = 0;
  for (let x = 0; x <= width; x++) {
    let whole = -1;
    if (x < width) for (let k = 0; k < kinds; k++) if (held[x * kinds + k] > 0.995) whole = k;
    if (whole !== run || x === width) {
      if (run >= 0) fill(run, since, 0, x - since, height);
      run = whole;
      since = x;
    }
    if (x < width && whole < 0) {
      let top = height;
      for (let k = 0; k < kinds - 1; k++) {
        const tall = held[x * kinds + k] * height;
        top -= tall;
        fill(k, x, top, 1, tall);
      }
    }
  }
  pen.globalAlpha = 1;
}

// The category under a point of the strip, and the segment at its instant.
function categoryAt(strip, view, width, x, up) {
  const place = placeAt(strip.start, view.from + ((x + 0.5) / width) * (view.to - view.from));
  const kinds = strip.categories.length + 1, at = Math.max(0, Math.min(width - 1, Math.floor(x)));
  const held = shares(strip, view.from, view.to, width);
  let below = 0;
  for (let k = 0; k < kinds - 1; k++) {
    below += held[at * kinds + k];
    if (up <= below + 1e-3 && held[at * kinds + k] > 0) return { category: k, place };
  }
  return null;
}

function segment(strip, place) {
  return [strip.start[place], place + 1 < strip.start.length ? strip.start[place + 1] : strip.end];
}

// The stretches of a category, the longest first, as places of its segments.
function stretches(strip, category) {
  const lasts = (place) => segment(strip, place)[1] - segment(strip, place)[0];
  const found = [];
  for (let i = 0; i < strip.category.length; i++) if (strip.category[i] === category) found.push(i);
  return found.sort((a, b) => lasts(b) - lasts(a));
}

function drawRuler(pen, look, view, box, zero, tickMs) {
  const { y, width, height, scale } = box;
  const span = (view.to - view.from) * tickMs, aim = span / Math.max(2, width / (110 * scale));
  const power = 10 ** Math.floor(Math.log10(aim));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= aim);
  pen.fillStyle = look.soft;
  pen.strokeStyle = look.line;
  pen.lineWidth = scale;
  pen.font = `${11 * scale}px ${FONT}`;
  pen.textBaseline = "middle";
  const first = Math.ceil(((view.from - zero) * tickMs) / step);
  for (let k = first; k * step < (view.to - zero) * tickMs; k++) {
    const x = Math.round(((k * step) / tickMs + zero - view.from) / (view.to - view.from) * width);
    pen.fillRect(x, y + height - 5 * scale, scale, 5 * scale);
    const text = k === 0 ? "0" : rulerTime(k * step, step);
    if (x + text.length * 7 * scale < width) pen.fillText(text, x + 4 * scale, y + height / 2);
  }
}

function rulerTime(ms, step) {
  const [unit, name] = step < 1e-3 ? [1e-6, "ns"] : step < 1 && Math.abs(ms) < 1 ? [1e-3, "us"] : step < 1000 ? [1, "ms"] : [1000, "s"];
  const digits = Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9));
  return `${(ms / unit).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${name}`;
}
