// Pointer, wheel and keys.
class Hands {
  constructor(view, finder, told) {
    Object.assign(this, { view, finder, told, down: new Map(), moved: false });
    for (const canvas of [view.axis, ...view.canvases.keys()]) this.listen(canvas);
    document.addEventListener("keydown", (event) => this.key(event));
    const acts = {
      in: () => view.zoom(0.6), out: () => view.zoom(1 / 0.6), whole: () => view.show(0, view.data.end),
      steps: () => view.show(view.steps.from, view.steps.to), before: () => this.step(-1), after: () => this.step(1),
      all: () => finder.choose(null),
    };
    for (const [id, act] of Object.entries(acts)) document.getElementById(id).addEventListener("click", act);
  }

  listen(canvas) {
    canvas.addEventListener("wheel", (event) => this.wheel(event, canvas), { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      this.down.set(event.pointerId, event.offsetX);
      this.moved = false;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => this.move(event, canvas));
    canvas.addEventListener("pointerup", (event) => {
      if (this.down.delete(event.pointerId) && !this.moved) this.click(event, canvas);
    });
    canvas.addEventListener("pointercancel", (event) => this.down.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.told.hover(null));
    canvas.addEventListener("dblclick", (event) => this.twice(event, canvas));
  }

  instant(x, canvas) {
    const { from, to } = this.view.view;
    return from + (x / canvas.clientWidth) * (to - from);
  }

  wheel(event, canvas) {
    const across = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      this.view.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 120), this.instant(event.offsetX, canvas), false);
    } else if (Math.abs(across) > 0 && (event.shiftKey || Math.abs(across) > Math.abs(event.deltaY))) {
      this.view.pan(across / canvas.clientWidth, false);
    } else return;
    event.preventDefault();
  }

  move(event, canvas) {
    const before = this.down.get(event.pointerId);
    if (before === undefined) return this.told.hover(this.under(event, canvas), event.clientX, event.clientY);
    const by = event.offsetX - before;
    if (!this.moved && Math.abs(by) < 4) return;
    this.moved = true;
    this.told.hover(null);
    if (this.down.size === 2) {
      const other = [...this.down].find(([id]) => id !== event.pointerId)[1];
      const was = Math.abs(before - other), is = Math.max(Math.abs(event.offsetX - other), 8);
      this.view.zoom(Math.max(was, 8) / is, this.instant((event.offsetX + other) / 2, canvas), false);
    } else if (canvas === this.view.axis && event.offsetY < 16) {
      this.centre(event.offsetX, canvas);
    } else this.view.pan(-by / canvas.clientWidth, false);
    this.down.set(event.pointerId, event.offsetX);
  }

  centre(x, canvas) {
    const { view } = this, half = (view.view.to - view.view.from) / 2, at = (x / canvas.clientWidth) * view.data.end;
    view.show(at - half, at + half, false);
  }

  // The strip and the category under a point, where there is one.
  onStrip(event, canvas) {
    const { view } = this, of = view.canvases.get(canvas), scale = canvas.width / canvas.clientWidth;
    const strip = of ? of.strip : view.strip, [top, tall] = of ? [0, TALL] : [36, 44];
    if (!strip || event.offsetY < top || event.offsetY >= top + tall) return null;
    const up = 1 - (event.offsetY - top) / tall;
    const at = categoryAt(strip, view.view, canvas.width, Math.floor(event.offsetX * scale), up);
    return at && strip.categories[at.category] ? { strip, ...at, name: strip.categories[at.category] } : null;
  }

  under(event, canvas) {
    const { view, told } = this, on = this.onStrip(event, canvas);
    if (on) {
      const [from, to] = segment(on.strip, on.place), look = view.data.look[on.name];
      const here = on.strip.category[on.place] === on.category ? [`${time(told.ms(to - from))}, at ${time(told.ms(from - view.zero))}`] : [];
      return [look.legend, ...here, look.meaning];
    }
    const of = view.canvases.get(canvas), at = of && eventAt(of, view, event.offsetX, event.offsetY, canvas.clientWidth);
    return at && (at.lane || at.row) ? told.lines(at) : null;
  }

  click(event, canvas) {
    const { view, finder, told } = this, on = this.onStrip(event, canvas);
    if (on && on.strip === view.strip) {
      const same = on.strip.category[on.place] === on.category, [from, to] = segment(on.strip, on.place);
      const wide = (to - from) / (view.view.to - view.view.from) * canvas.clientWidth >= 3;
      return finder.choose(on.name, same && wide ? on.place : null);
    }
    if (canvas === view.axis) return event.offsetY < 16 ? this.centre(event.offsetX, canvas) : undefined;
    const of = view.canvases.get(canvas), at = eventAt(of, view, event.offsetX, event.offsetY, canvas.clientWidth);
    if (at && at.lane) return told.pick(at.lane, at.place);
    if (at && at.row) return told.say(...told.lines(at));
    if (at && at.item && at.item.lane && !("place" in at) && event.offsetY < at.item.y) at.item.whole = !at.item.whole;
    view.picked = null;
    view.marks = [];
    view.draw();
  }

  twice(event, canvas) {
    const of = this.view.canvases.get(canvas), at = of && eventAt(of, this.view, event.offsetX, event.offsetY, canvas.clientWidth);
    if (at && at.lane) return this.view.frame(at.lane.start[at.place], at.lane.start[at.place] + at.lane.length[at.place]);
    this.view.zoom(0.4, this.instant(event.offsetX, canvas));
  }

  // Shows the step after or before the one in the middle.
  step(by) {
    const { view } = this, { strip } = view;
    if (!strip) return;
    const middle = (view.aim || view.view), at = (middle.from + middle.to) / 2;
    const place = Math.max(0, Math.min(strip.steps.length - 1, placeAt(strip.steps, at) + by));
    const ends = place + 1 < strip.steps.length ? strip.steps[place + 1] : strip.end, number = strip.numbers[place];
    view.show(strip.steps[place], ends);
    const name = number >= 0 ? ` (the trace calls it ${number})` : "", lasts = time(this.told.ms(ends - strip.steps[place]));
    this.told.say(`Step ${place + 1} of ${strip.steps.length}${name}: ${lasts}`);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(input|textarea|select)$/i.test(event.target.tagName)) return;
    const { view, finder } = this, acts = {
      w: () => view.zoom(0.6), "+": () => view.zoom(0.6), "=": () => view.zoom(0.6), s: () => view.zoom(1 / 0.6),
      "-": () => view.zoom(1 / 0.6), a: () => view.pan(-0.25), d: () => view.pan(0.25), ArrowLeft: () => view.pan(-0.25),
      ArrowRight: () => view.pan(0.25), 0: () => view.show(view.steps.from, view.steps.to), n: () => finder.next(1),
      p: () => finder.next(-1), "[": () => this.step(-1), "]": () => this.step(1), Escape: () => finder.clear(),
      "/": () => finder.box.focus(), f: () => this.fit(),
    };
    if (!Object.hasOwn(acts, event.key)) return;
    acts[event.key]();
    event.preventDefault();
  }

  fit() {
    const { picked } = this.view;
    if (picked) this.view.frame(picked.lane.start[picked.place], picked.lane.start[picked.place] + picked.lane.length[picked.place]);
  }
}
