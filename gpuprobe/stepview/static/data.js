// Reads the data of the page: base64 of a zlib stream that holds a header in JSON and columns of whole numbers.
const NONE = 2 ** 32 - 1;

async function decode(text) {
  const letters = atob(text.trim());
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(unpacked).arrayBuffer();
  const size = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  return model(header, column(buffer, 4 + size));
}

function column(buffer, base) {
  const kinds = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };
  return ([place, count, width]) => new kinds[width](buffer, base + place, count);
}

// Starts are written as differences from the previous start.
function summed(distances) {
  const starts = new Uint32Array(distances.length);
  let at = 0;
  for (let i = 0; i < distances.length; i++) starts[i] = at += distances[i];
  return starts;
}

function model(header, read) {
  const strips = header.strips.map((strip) => ({
    ...strip,
    start: summed(read(strip.start)),
    category: read(strip.category),
  }));
  const lanes = header.lanes.map((lane) => laneOf(lane, read));
  const after = header.predicted && {
    ...header.predicted,
    rows: header.predicted.rows.map((row) => ({
      ...row,
      start: summed(read(row.start)),
      length: read(row.length),
      work: read(row.work),
    })),
  };
  return { ...header, strips, lanes, after };
}

function laneOf(lane, read) {
  const made = { ...lane, start: summed(read(lane.start)) };
  for (const name of ["length", "name", "depth", "op", "launch", "thread", "count", "busy"]) {
    made[name] = lane[name] ? read(lane[name]) : null;
  }
  made.rows = 1 + made.depth.reduce((most, depth) => Math.max(most, depth), 0);
  return made;
}

// The index of the last start that is not after an instant, -1 where all are after it.
function placeAt(starts, instant) {
  let low = 0, high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= instant) low = middle + 1; else high = middle;
  }
  return low - 1;
}
