/**
 * A QR code for the sixty digits of a safety number.
 *
 * Sixty digits always fit version 2 with error correction M (25 × 25 modules, ISO/IEC 18004), so this file knows that
 * size only: 28 bytes of data, 16 bytes of Reed-Solomon code, one block, one mask.
 */

const SIZE = 25;
const DATA_BYTES = 28;
const CODE_BYTES = 16;

/** Format information of correction M with mask 0, with its own error correction and mask applied. */
const FORMAT = 0b101010000010010;

/** Powers of 2 in GF(256) with the polynomial of QR codes, and their logarithms. */
const POWERS = new Uint8Array(255);
const LOGARITHMS = new Uint8Array(256);
for (let power = 0, value = 1; power < 255; power++) {
	POWERS[power] = value;
	LOGARITHMS[value] = power;
	value = value & 0x80 ? (value << 1) ^ 0x11d : value << 1;
}

/** @param {number} a @param {number} b */
const product = (a, b) => (a && b ? POWERS[(LOGARITHMS[a] + LOGARITHMS[b]) % 255] : 0);

/** Returns the data bytes: numeric mode, three digits in ten bits, and padding. @param {string} digits */
function dataBytes(digits) {
	let bits = "0001" + digits.length.toString(2).padStart(10, "0");
	for (let at = 0; at < digits.length; at += 3) {
		const group = digits.slice(at, at + 3);
		bits += Number(group).toString(2).padStart([0, 4, 7, 10][group.length], "0");
	}
	bits = (bits + "0000").slice(0, DATA_BYTES * 8);
	bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, "0");
	const bytes = (bits.match(/.{8}/g) ?? []).map(byte => parseInt(byte, 2));
	for (let filler = 0xec; bytes.length < DATA_BYTES; filler ^= 0xec ^ 0x11) {
		bytes.push(filler);
	}
	return bytes;
}

/** Returns the Reed-Solomon code of the data bytes. @param {number[]} data */
function codeBytes(data) {
	let generator = [1];
	for (let root = 0; root < CODE_BYTES; root++) {
		const next = [...generator, 0];
		generator.forEach((factor, at) => (next[at + 1] ^= product(factor, POWERS[root])));
		generator = next;
	}
	const rest = [...data, ...new Array(CODE_BYTES).fill(0)];
	for (let at = 0; at < data.length; at++) {
		const factor = rest[at];
		generator.forEach((value, offset) => (rest[at + offset] ^= product(value, factor)));
	}
	return rest.slice(data.length);
}

/** Returns the modules of the code row by row; `true` is dark. @param {string} digits at most 63 digits @returns {boolean[][]} */
export function qrCode(digits) {
	/** @type {(boolean | undefined)[][]} */
	const modules = Array.from({ length: SIZE }, () => new Array(SIZE).fill(undefined));
	/** @type {(row: number, column: number, dark: boolean) => void} */
	const set = (row, column, dark) => {
		if (row >= 0 && row < SIZE && column >= 0 && column < SIZE) {
			modules[row][column] = dark;
		}
	};
	// Squares within squares: three to find the code by, and one to align it.
	const squares = [[3, 3, 4], [3, SIZE - 4, 4], [SIZE - 4, 3, 4], [SIZE - 7, SIZE - 7, 2]];
	for (const [row, column, reach] of squares) {
		for (let down = -reach; down <= reach; down++) {
			for (let right = -reach; right <= reach; right++) {
				const ring = Math.max(Math.abs(down), Math.abs(right));
				const dark = reach === 4 ? ring !== 2 && ring !== 4 : ring !== 1;
				set(row + down, column + right, dark);
			}
		}
	}
	for (let at = 8; at < SIZE - 8; at++) {
		set(6, at, at % 2 === 0);
		set(at, 6, at % 2 === 0);
	}
	set(SIZE - 8, 8, true);
	for (let bit = 0; bit < 15; bit++) {
		const dark = ((FORMAT >> bit) & 1) === 1;
		// One copy beside the first square, the other split over the two others.
		set(bit < 6 ? bit : bit < 8 ? bit + 1 : SIZE - 15 + bit, 8, dark);
		set(8, bit < 8 ? SIZE - 1 - bit : bit === 8 ? 7 : 14 - bit, dark);
	}
	const data = dataBytes(digits);
	const bits = [...data, ...codeBytes(data)].flatMap(byte => Array.from({ length: 8 }, (_, at) => (byte >> (7 - at)) & 1));
	let next = 0;
	// Two columns at a time from the right, up and down in turn; column 6 belongs to the timing pattern.
	for (let right = SIZE - 1, up = true; right > 0; right -= right === 8 ? 3 : 2, up = !up) {
		for (let step = 0; step < SIZE; step++) {
			const row = up ? SIZE - 1 - step : step;
			for (const column of [right, right - 1]) {
				if (modules[row][column] === undefined) {
					const bit = (bits[next++] ?? 0) === 1;
					modules[row][column] = bit !== ((row + column) % 2 === 0);
				}
			}
		}
	}
	return modules.map(row => row.map(dark => dark === true));
}
