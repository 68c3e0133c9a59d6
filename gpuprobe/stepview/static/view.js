// The view: the part of the time axis that is shown, and everything that is drawn of it.
class View {
  constructor(data, look) {
    Object.assign(this, { data, look, category: null, found: null, picked: null, marks: [], queued: false });
    this.strip = data.strips[0];
    this.whole = { from: 0, to: data.end };
    this.zero = this.strip ? this.strip.steps[0] : 0;
    this.steps = this.strip ? { from: this.strip.steps[0], to: this.strip.end } : this.whole;
    const pad = (this.steps.to - this.steps.from) * 0.01;
    this.view = this.held(this.steps.from - pad, this.steps.to + pad);
    this.groups = groupsOf(data);
    this.axis = document.getElementById("axis");
    this.canvases = new Map();
    this.build(document.getElementById("lanes"));
  }

  // Makes a heading and a canvas for each group.
  build(place) {
    this.groups.forEach((of, number) => {
      const section = document.createElement("section"), head = document.createElement("h3");
      const button = document.createElement("button"), canvas = document.createElement("canvas");
      button.type = "button";
      button.textContent = of.title;
      canvas.id = `group-${number}`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Lanes of ${of.title}; the list of gaps below tells the same in words`);
      button.setAttribute("aria-controls", canvas.id);
      button.addEventListener("click", () => { of.open = !of.open; this.fold(of, button, canvas); });
      head.append(button);
      section.append(head, canvas);
      if (of.after) section.classList.add("after");
      place.append(section);
      this.canvases.set(canvas, of);
      this.fold(of, button, canvas);
    });
  }

  fold(of, button, canvas) {
    button.setAttribute("aria-expanded", String(of.open));
    canvas.hidden = !of.open && !of.strip;
    this.draw();
  }

  x(instant, width) { return ((instant - this.view.from) / (this.view.to - this.view.from)) * width; }

  // A part of the axis that lies within the trace and is at least ten ticks long.
  held(from, to) {
    const span = Math.min(Math.max(to - from, 10), this.data.end || 10);
    const begin = Math.min(Math.max(from, 0), Math.max(0, this.data.end - span));
    return { from: begin, to: begin + span };
  }

  show(from, to, soft = true) {
    const target = this.held(from, to), begin = { ...this.view }, since = performance.now();
    this.aim = target;
    const still = !soft || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const move = (now) => {
      if (this.aim !== target) return;
      const part = still ? 1 : Math.min(1, (now - since) / 160), eased = 1 - (1 - part) ** 3;
      this.view = part === 1 ? target : { from: begin.from + (target.from - begin.from) * eased, to: begin.to + (target.to - begin.to) * eased };
      this.draw();
      if (part < 1) requestAnimationFrame(move);
    };
    if (still) move(since); else requestAnimationFrame(move);
  }

  zoom(factor, at = (this.view.from + this.view.to) / 2, soft = true) {
    const from = this.aim && soft ? this.aim : this.view;
    this.show(at - (at - from.from) * factor, at + (from.to - at) * factor, soft);
  }

  pan(share, soft = true) {
    const from = this.aim && soft ? this.aim : this.view, by = share * (from.to - from.from);
    this.show(from.from + by, from.to + by, soft);
  }

  // Shows a part of the axis with some room on both sides.
  frame(from, to) {
    const room = Math.max((to - from) * 0.6, 5);
    this.marks = [from, to];
    this.show(from - room, to + room);
  }

  draw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    this.queued = false;
    const began = performance.now();
    this.drawAxis();
    for (const [canvas, of] of this.canvases) {
      if (canvas.hidden) continue;
      const tall = laidOut(of), box = sized(canvas, tall);
      drawGroup(canvas.getContext("2d"), this.look, of, this, box);
    }
    const span = (this.view.to - this.view.from) * this.data.tick_ms;
    document.getElementById("seen").textContent = `${time(span)} shown`;
    document.body.dataset.drawMs = (performance.now() - began).toFixed(1);
  }

  drawAxis() {
    const small = 16, ruler = 20, strip = 44, box = sized(this.axis, small + ruler + strip);
    const { width, scale } = box, pen = this.axis.getContext("2d");
    pen.clearRect(0, 0, width, this.axis.height);
    if (this.strip) drawStrip(pen, this.look, this.strip, this.whole, { y: 0, width, height: small * scale }, this.category);
    const left = (this.view.from / this.data.end) * width, right = (this.view.to / this.data.end) * width;
    pen.fillStyle = this.look.paper;
    pen.globalAlpha = 0.7;
    pen.fillRect(0, 0, left, small * scale);
    pen.fillRect(right, 0, width - right, small * scale);
    pen.globalAlpha = 1;
    pen.strokeStyle = this.look.ink;
    pen.lineWidth = scale;
    pen.strokeRect(left + scale / 2, scale / 2, Math.max(right - left - scale, scale), small * scale - scale);
    drawRuler(pen, this.look, this.view, { y: small * scale, width, height: ruler * scale, scale }, this.zero, this.data.tick_ms);
    if (!this.strip) return;
    drawStrip(pen, this.look, this.strip, this.view, { y: (small + ruler) * scale, width, height: strip * scale }, this.category);
    drawSteps(pen, this.look, this, width);
    drawMarks(pen, this.look, this, width);
  }
}

// Fits a canvas to its width on the page; returns its size in its own pixels.
function sized(canvas, tall) {
  const scale = window.devicePixelRatio || 1, width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.style.height = `${tall}px`;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== Math.round(tall * scale)) canvas.height = Math.round(tall * scale);
  return { width, scale };
}
