// The lanes: which ones there are, where their rows are, how they are drawn, and which event is under a point.
const FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const LABEL = 17, ROW = 15, TALL = 22, BETWEEN = 7, FOLDED = 8;
// Events that enclose nearly all of the steps, such as a main function, do not show what happens in them.
const ENCLOSES = 0.95;

// Groups: the judged device and the threads of its host come first. Other devices show only their strip, with their
// streams folded, so that it is easy to see who waits for whom. Where there is a GPU, threads that neither launch nor
// feed are folded. Lanes without an event in the steps are always folded.
function groupsOf(data) {
  const groups = [], several = new Set(data.lanes.map((lane) => lane.host)).size > 1;
  const stripOf = (device, host) => data.strips.find((strip) => strip.device === device && strip.host === host);
  const hosts = [...new Set(data.lanes.map((lane) => lane.host))];
  const judged = data.strips[0];
  hosts.sort((a, b) => (judged && b === judged.host) - (judged && a === judged.host));
  const [from, to] = judged ? [judged.steps[0], judged.end] : [0, data.end];
  for (const lane of data.lanes) lane.outer = lane.kind === "stream" ? 0 : outerLevels(lane, from, to);
  for (const host of hosts) {
    const all = data.lanes.filter((lane) => lane.host === host), mine = all.filter((lane) => acts(lane, from, to)), of = several ? ` of ${host}` : "";
    const devices = [...new Set(mine.filter((lane) => lane.device).map((lane) => lane.device))];
    devices.sort((a, b) => (judged && b === judged.device) - (judged && a === judged.device));
    for (const device of devices) {
      const strip = stripOf(device, host), first = strip && strip === judged;
      const lanes = mine.filter((lane) => lane.device === device);
      groups.push(group(first ? 0 : 2, `${device}${of}`, lanes, first || !judged, first ? null : strip));
    }
    const alone = devices.length === 0, strip = alone && stripOf("", host);
    const training = mine.filter((lane) => lane.kind === "launching" || lane.kind === "input");
    const others = mine.filter((lane) => lane.kind === "other");
    const near = !judged || judged.host === host;
    const rank = near ? 1 : 3;
    if (training.length) groups.push(group(rank, `Host threads${of}`, training, near, strip && strip !== judged ? strip : null));
    if (others.length) groups.push(group(rank, `${many(others.length, "other thread")}${of}`, others, alone && near, null));
    const still = all.filter((lane) => !mine.includes(lane)), idle = `${many(still.length, "lane")}${of} without an event in the steps`;
    if (still.length) groups.push(group(rank, idle, still, false, null));
  }
  groups.sort((a, b) => a.rank - b.rank);
  if (data.after) groups.push({ ...group(4, document.body.dataset.after, [], true, null), after: data.after });
  return groups;
}

function group(rank, title, lanes, open, strip) {
  return { rank, title, open, strip, lanes: lanes.map((lane) => ({ lane, whole: false })) };
}

function acts(lane, from, to) {
  for (let i = 0; i < lane.start.length && lane.start[i] < to; i++) if (lane.start[i] + lane.length[i] > from) return true;
  return false;
}

// How many levels of a thread only enclose the steps; the innermost of them is kept, to show the context.
function outerLevels(lane, from, to) {
  const encloses = [];
  for (let i = 0; i < lane.start.length && lane.start[i] < to; i++) {
    const inside = Math.min(lane.start[i] + lane.length[i], to) - Math.max(lane.start[i], from);
    if (inside >= ENCLOSES * (to - from)) encloses[lane.depth[i]] = true;
  }
  let outer = 0;
  while (encloses[outer]) outer++;
  return Math.max(0, outer - 1);
}

const KINDS = { launching: "launching thread", input: "input pipeline", other: "thread", stream: "" };

function label(lane, rows) {
  const kind = KINDS[lane.kind], hidden = lane.rows - rows;
  return `${kind ? `${kind}: ` : ""}${lane.title}${hidden > 0 ? `  (+${many(hidden, "level")})` : ""}`;
}

// The first level that is shown of a lane that is not unfolded.
function folded(lane) {
  return Math.min(lane.outer, Math.max(0, lane.rows - FOLDED));
}

// Sets where each lane of a group begins, in CSS pixels, and returns how tall the group is.
function laidOut(of) {
  let y = of.strip ? TALL + BETWEEN : 0;
  const rows = !of.open ? [] : of.after ? of.after.rows.map((row) => ({ row })) : of.lanes;
  for (const item of rows) {
    item.y = y + LABEL;
    const rows = item.lane ? item.lane.rows : 1;
    item.first = item.lane && !item.whole ? folded(item.lane) : 0;
    item.shown = Math.min(rows, item.whole ? Infinity : FOLDED);
    item.tall = item.lane && item.lane.kind !== "stream" ? ROW : TALL;
    y = item.y + item.shown * item.tall + BETWEEN;
  }
  of.items = rows;
  return y;
}

function drawGroup(pen, look, of, state, box) {
  const { width, scale } = box;
  pen.clearRect(0, 0, width, pen.canvas.height);
  drawSteps(pen, look, state, width);
  if (of.strip) drawStrip(pen, look, of.strip, state.view, { y: 0, width, height: TALL * scale }, state.category);
  for (const item of of.items) {
    const text = item.lane ? label(item.lane, item.shown) : item.row.title;
    if (item.lane) drawLane(pen, look, item, state, box); else drawAfter(pen, look, of.after, item, state, box);
    drawText(pen, look.soft, text, 2 * scale, (item.y - LABEL / 2 + 1) * scale, scale);
  }
  drawMarks(pen, look, state, width);
}

function drawText(pen, colour, text, x, y, scale) {
  pen.fillStyle = colour;
  pen.font = `${11 * scale}px ${FONT}`;
  pen.textBaseline = "middle";
  pen.fillText(text, x, y);
}

function drawSteps(pen, look, state, width) {
  const strip = state.data.strips[0];
  if (!strip) return;
  pen.fillStyle = look.line;
  for (const at of strip.steps) {
    const x = state.x(at, width);
    if (x >= 0 && x < width) pen.fillRect(Math.round(x), 0, 1, pen.canvas.height);
  }
}

function drawMarks(pen, look, state, width) {
  pen.fillStyle = look.accent;
  for (const at of state.marks) {
    const x = state.x(at, width);
    if (x >= 0 && x < width) pen.fillRect(Math.round(x), 0, 1.5, pen.canvas.height);
  }
}

function drawLane(pen, look, item, state, { width, scale }) {
  const { lane } = item, { data, view, found, picked } = state;
  const perPixel = (view.to - view.from) / width, tall = item.tall * scale, letter = 6.62 * scale;
  const tones = lane.kind === "stream" ? data.tones.work : data.tones.host;
  const covered = new Float64Array(item.shown).fill(-1);
  pen.font = `${11 * scale}px ${FONT}`;
  pen.textBaseline = "middle";
  for (let i = 0; i < lane.start.length && lane.start[i] < view.to; i++) {
    const depth = lane.depth[i] - item.first, end = lane.start[i] + lane.length[i];
    if (depth < 0 || depth >= item.shown || end < view.from) continue;
    const left = Math.max(0, (lane.start[i] - view.from) / perPixel);
    const right = Math.min(width, (end - view.from) / perPixel);
    const hit = found && isFound(found, lane, i);
    // An event within a pixel that has been drawn already is left out.
    if (right < covered[depth] && !hit) continue;
    const y = item.y * scale + depth * tall, across = Math.max(right - left - (right - left > 3 ? 1 : 0), 1);
    covered[depth] = Math.max(covered[depth], Math.ceil(left + 1));
    pen.globalAlpha = found && !hit ? 0.15 : 1;
    pen.fillStyle = coloured(look, lane.count && lane.count[i] > 1 ? "" : tones[lane.name[i]], across / scale);
    pen.fillRect(left, y, across, tall - 1);
    if (picked && picked.lane === lane && picked.place === i) {
      pen.strokeStyle = look.accent;
      pen.lineWidth = 2 * scale;
      pen.strokeRect(left + scale, y + scale, Math.max(across - 2 * scale, 1), tall - 1 - 2 * scale);
    }
    if (across > 26 * scale) {
      pen.fillStyle = look.ink;
      pen.fillText(fitted(caption(data, lane, i), across - 6 * scale, letter), left + 3 * scale, y + tall / 2);
    }
  }
  pen.globalAlpha = 1;
}

// Thin bars have the full colour, so that they are visible; wide ones have a tint of it, on which text is readable.
function coloured(look, tone, across) {
  if (!look.tints[tone]) return look.neutral;
  return across < 3 ? look.look[tone].colour : look.tints[tone];
}

function caption(data, lane, place) {
  if (lane.count && lane.count[place] > 1) return many(lane.count[place], "short event");
  const op = lane.op && lane.op[place] !== NONE ? data.names[lane.op[place]] : "";
  const name = data.names[lane.name[place]];
  return lane.kind === "stream" ? op.split("/").pop() || plain(name) : name;
}

// A kernel's name without its return type, template arguments and namespaces.
function plain(name) {
  return name.replace(/^void /, "").replace(/\(anonymous namespace\)::/g, "").split(/[<(]/)[0].split("::").pop() || name;
}

function drawAfter(pen, look, after, item, state, { width, scale }) {
  const { row } = item, { view } = state, perPixel = (view.to - view.from) / width;
  const y = item.y * scale, tall = item.tall * scale;
  let covered = -1;
  for (let i = 0; i < row.start.length; i++) {
    const begin = after.base + row.start[i], end = begin + row.length[i];
    if (end < view.from || begin > view.to) continue;
    const left = Math.max(0, (begin - view.from) / perPixel), right = Math.min(width, (end - view.from) / perPixel);
    if (right < covered || !row.length[i]) continue;
    const across = Math.max(right - left - (right - left > 3 ? 1 : 0), 1);
    covered = Math.ceil(left + 1);
    pen.fillStyle = coloured(look, after.works[row.work[i]][1], across / scale);
    pen.fillRect(left, y, across, tall - 1);
    if (across > 26 * scale) {
      pen.fillStyle = look.ink;
      pen.font = `${11 * scale}px ${FONT}`;
      pen.fillText(fitted(after.works[row.work[i]][0], across - 6 * scale, 6.62 * scale), left + 3 * scale, y + tall / 2);
    }
  }
  // Where the next steps would begin.
  pen.fillStyle = look.accent;
  const next = state.x(after.base + after.length, width);
  pen.fillRect(Math.round(next), y, 2 * scale, tall - 1);
}

// The event under a point of a group's canvas, in CSS pixels.
function eventAt(of, state, x, y, width) {
  const instant = state.view.from + (x / width) * (state.view.to - state.view.from);
  const slack = (2 / width) * (state.view.to - state.view.from);
  for (const item of of.items) {
    const depth = Math.floor((y - item.y) / item.tall);
    if (depth < -1 || depth >= item.shown) continue;
    if (depth < 0) return y > item.y - LABEL && item.lane ? { item } : null;
    const of_ = item.lane || item.row, base = item.lane ? 0 : of.after.base;
    let best = -1, least = Infinity;
    for (let i = placeAt(of_.start, instant + slack - base); i >= 0; i--) {
      if (item.lane && item.lane.depth[i] !== depth + item.first) continue;
      const begin = of_.start[i] + base, end = begin + of_.length[i];
      const away = Math.max(begin - instant, instant - end, 0);
      if (away < least && away <= slack) { best = i; least = away; }
      if (end < instant - slack || away === 0) break;
    }
    return best < 0 ? { item, lane: null } : { item, lane: item.lane, row: item.row, place: best };
  }
  return null;
}
