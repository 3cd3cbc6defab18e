// Bytes and texts: strict on the way in, and one spelling on the way out. What Python's `bytes`, `json` and `base64` do
// in exports/verifier, these do here.

/** Something is not as the format wants it; the message says what, for people. */
class Refusal extends Error {}

/** This browser, or this page, cannot check it: neither right nor wrong. */
class Uncheckable extends Error {}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const bytesOf = (text) => ENCODER.encode(text);

/** The text of UTF-8 bytes. Throws Refusal. */
function textOf(bytes) {
  try {
    return DECODER.decode(bytes);
  } catch {
    throw new Refusal("not UTF-8");
  }
}

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const startsWith = (bytes, start, at = 0) => at + start.length <= bytes.length && start.every((one, i) => bytes[at + i] === one);
const same = (one, other) => one.length === other.length && startsWith(one, other);

/** Order of bytes as numbers, a shorter beginning first. */
function compareBytes(one, other) {
  for (let at = 0; at < one.length && at < other.length; at++) {
    if (one[at] !== other[at]) return one[at] - other[at];
  }
  return one.length - other.length;
}

/** Where the pattern stands last, or -1. */
function lastIndexOf(bytes, pattern) {
  for (let at = bytes.length - pattern.length; at >= 0; at--) {
    at = bytes.lastIndexOf(pattern[0], at);
    if (at < 0) return -1;
    if (startsWith(bytes, pattern, at)) return at;
  }
  return -1;
}

const toHex = (bytes) => Array.from(bytes, (byte) => HEX[byte]).join("");

function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const left = bytes.length - at;
    const group = (bytes[at] << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    text += BASE64[group >> 18] + BASE64[(group >> 12) & 63];
    text += left > 1 ? BASE64[(group >> 6) & 63] : "=";
    text += left > 2 ? BASE64[group & 63] : "=";
  }
  return text;
}

const toBase64Url = (bytes) => toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

/** The bytes of base64 in its one spelling. Throws Refusal. */
function fromBase64(text) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  } catch {
    throw new Refusal("not base64");
  }
  if (toBase64(bytes) !== text) throw new Refusal("not canonical base64");
  return bytes;
}

function fromBase64Url(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text)) throw new Refusal("not base64url");
  const padded = text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat((4 - (text.length % 4)) % 4);
  return fromBase64(padded);
}

/** A text as JSON, not escaped beyond need. Throws Refusal for half of a surrogate pair. */
function jsonText(text) {
  const spelled = JSON.stringify(text);
  if (/\\ud[89a-f]/.test(spelled) && !isWhole(text)) throw new Refusal("half of a surrogate pair");
  return spelled;
}

const isWhole = (text) => DECODER.decode(ENCODER.encode(text)) === text;

/** Order of texts by code points, as Python sorts; JavaScript compares halves of surrogate pairs. */
function compareTexts(one, other) {
  const [left, right] = [Array.from(one), Array.from(other)];
  for (let at = 0; at < left.length && at < right.length; at++) {
    if (left[at] !== right[at]) return left[at].codePointAt(0) - right[at].codePointAt(0);
  }
  return left.length - right.length;
}

/** JSON with sorted members: of two spaces of indentation, or with indent = null without any white space. */
function spelledJson(value, indent = "") {
  const isFlat = indent === null;
  const deeper = isFlat ? null : `${indent}  `;
  const wrap = (open, items, close) => {
    if (!items.length) return open + close;
    return isFlat ? open + items.join(",") + close : `${open}\n${deeper}${items.join(`,\n${deeper}`)}\n${indent}${close}`;
  };
  if (typeof value === "string") return jsonText(value);
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw new Refusal("a number that no such file has");
    return String(value);
  }
  if (Array.isArray(value)) return wrap("[", value.map((item) => spelledJson(item, deeper)), "]");
  const colon = isFlat ? ":" : ": ";
  const members = Object.keys(value).sort(compareTexts);
  return wrap("{", members.map((name) => jsonText(name) + colon + spelledJson(value[name], deeper)), "}");
}

/** The value of JSON text. Throws Refusal. */
function parsedJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal("not JSON");
  }
}

/** Run what takes foreign bytes apart: where they have not the parts that it asks for, throw Refusal with this text. */
function refusing(text, run) {
  try {
    return run();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new Refusal(text);
    throw error;
  }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const quoted = (text) => `'${text}'`;
const grouped = (number) => number.toLocaleString("en-US");

/** A text in which nothing turns the direction of writing or hides. */
function visible(text) {
  return text.replace(/[^\P{C}]|[\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`);
}

/** A moment in UTC, as people read it. */
const shownTime = (milliseconds, length = 19) => new Date(milliseconds).toISOString().replace("T", " ").slice(0, length);
