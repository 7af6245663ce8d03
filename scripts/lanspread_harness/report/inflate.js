// From base64 to text: by the browser where it can decompress, else by hand.

/** @param {string} text @returns {Uint8Array} */
function bytesOfBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** @param {string} base64 gzip in base64 @returns {Promise<string>} */
async function textOfPacked(base64) {
  const packed = bytesOfBase64(base64);
  if (typeof DecompressionStream === "undefined") return new TextDecoder().decode(inflateGzip(packed));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const GZIP_HEADER_BYTES = 10;
const GZIP_TRAILER_BYTES = 8;

/** Reads gzip as the report writes it: one member, no optional header fields. @param {Uint8Array} data */
function inflateGzip(data) {
  if (data[0] !== 0x1f || data[1] !== 0x8b || data[3] !== 0) throw new Error("the data of this page are damaged");
  const size = new DataView(data.buffer, data.byteOffset + data.length - 4, 4).getUint32(0, true);
  return inflate(data.subarray(GZIP_HEADER_BYTES, data.length - GZIP_TRAILER_BYTES), size);
}

const LENGTH_BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097,
  6145, 8193, 12289, 16385, 24577];
const DISTANCE_BITS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const MAX_CODE_BITS = 15;

/** Deflate as of RFC 1951. @param {Uint8Array} input @param {number} size of the output */
function inflate(input, size) {
  const output = new Uint8Array(size);
  let written = 0, position = 0, held = 0, heldBits = 0;

  function bits(count) {
    while (heldBits < count) {
      if (position >= input.length) throw new Error("the data of this page end too early");
      held |= input[position++] << heldBits;
      heldBits += 8;
    }
    const value = held & ((1 << count) - 1);
    held >>>= count;
    heldBits -= count;
    return value;
  }

  // Codes of one length are consecutive numbers, so a count per length and the symbols in order are the whole table.
  function table(lengths) {
    const counts = new Uint16Array(MAX_CODE_BITS + 1);
    for (const length of lengths) counts[length]++;
    counts[0] = 0;
    const starts = new Uint16Array(MAX_CODE_BITS + 2);
    for (let length = 1; length <= MAX_CODE_BITS; length++) starts[length + 1] = starts[length] + counts[length];
    const symbols = new Uint16Array(lengths.length);
    lengths.forEach((length, symbol) => { if (length) symbols[starts[length]++] = symbol; });
    return { counts, symbols };
  }

  function symbol({ counts, symbols }) {
    let code = 0, first = 0, index = 0;
    for (let length = 1; length <= MAX_CODE_BITS; length++) {
      code |= bits(1);
      const count = counts[length];
      if (code - first < count) return symbols[index + code - first];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new Error("the data of this page are damaged");
  }

  function dynamicTables() {
    const literals = bits(5) + 257, distances = bits(5) + 1, codes = bits(4) + 4;
    const lengths = new Array(19).fill(0);
    for (let i = 0; i < codes; i++) lengths[CODE_LENGTH_ORDER[i]] = bits(3);
    const codeTable = table(lengths);
    const all = [];
    while (all.length < literals + distances) {
      const code = symbol(codeTable);
      if (code < 16) all.push(code);
      else {
        const repeated = code === 16 ? all[all.length - 1] : 0;
        const times = code === 16 ? 3 + bits(2) : code === 17 ? 3 + bits(3) : 11 + bits(7);
        for (let i = 0; i < times; i++) all.push(repeated);
      }
    }
    return [table(all.slice(0, literals)), table(all.slice(literals))];
  }

  function fixedTables() {
    const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));
    return [table(lengths), table(new Array(30).fill(5))];
  }

  function stored() {
    held = heldBits = 0;
    const length = input[position] | (input[position + 1] << 8);
    output.set(input.subarray(position + 4, position + 4 + length), written);
    position += 4 + length;
    written += length;
  }

  function compressed([literalTable, distanceTable]) {
    for (;;) {
      const literal = symbol(literalTable);
      if (literal === 256) return;
      if (literal < 256) { output[written++] = literal; continue; }
      const length = LENGTH_BASE[literal - 257] + bits(LENGTH_BITS[literal - 257]);
      const code = symbol(distanceTable);
      let from = written - DISTANCE_BASE[code] - bits(DISTANCE_BITS[code]);
      for (let i = 0; i < length; i++) output[written++] = output[from++];
    }
  }

  for (let last = 0; !last;) {
    last = bits(1);
    const type = bits(2);
    if (type === 0) stored();
    else compressed(type === 1 ? fixedTables() : dynamicTables());
  }
  return output;
}
