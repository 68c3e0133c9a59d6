// Starts the page: reads the data, draws it, and listens to the reader.
async function start() {
  const about = JSON.parse(document.getElementById("about").textContent);
  const data = await decode(document.getElementById("data").textContent);
  data.look = about.look;
  const view = new View(data, theme(about.look)), told = new Told(view), finder = new Finder(view, told);
  new Hands(view, finder, told);
  const redraw = () => { view.look = theme(about.look); view.drawNow(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => view.draw());
  // In print the page is white, and as wide as the paper.
  matchMedia("print").addEventListener("change", redraw);
  addEventListener("beforeprint", redraw);
  addEventListener("afterprint", redraw);
  view.drawNow();
  document.body.dataset.readyMs = performance.now().toFixed(0);
}

start().catch((error) => {
  document.getElementById("trouble").hidden = false;
  document.getElementById("trouble").textContent = `The lanes cannot be drawn here: ${error.message}. The tables are complete without them.`;
});
