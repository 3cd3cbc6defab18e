// DER (X.690), as far as certificates and CMS signatures need it: read strictly, and written again to compare.

const TAG = { integer: 0x02, bits: 0x03, octets: 0x04, null: 0x05, oid: 0x06, sequence: 0x30, set: 0x31 };

/** One element: `raw` is all of it, `content` what is inside. */
class Element {
  constructor(raw, headerSize) {
    this.tag = raw[0];
    this.raw = raw;
    this.content = raw.subarray(headerSize);
  }

  /** The elements inside a constructed one. Throws Refusal. */
  get items() {
    if (!(this.tag & 0x20)) throw new Refusal("not DER: an element has nothing inside");
    const items = [];
    for (let at = 0; at < this.content.length; at += items.at(-1).raw.length) {
      items.push(elementAt(this.content.subarray(at)));
    }
    return items;
  }

  /** This element, if it has that tag. Throws Refusal. */
  as(tag) {
    if (this.tag !== tag) throw new Refusal("not DER of this kind");
    return this;
  }

  get oid() {
    const numbers = [];
    let number = 0;
    for (const byte of this.as(TAG.oid).content) {
      number = number * 128 + (byte & 127);
      if (byte < 128) {
        numbers.push(number);
        number = 0;
      }
    }
    const first = Math.min(Math.floor(numbers[0] / 40), 2);
    return [first, numbers[0] - 40 * first, ...numbers.slice(1)].join(".");
  }

  /** The bytes of a bit string of whole bytes. */
  get bits() {
    if (this.as(TAG.bits).content[0] !== 0) throw new Refusal("not DER: a bit string of parts of a byte");
    return this.content.subarray(1);
  }
}

/** The element that the bytes begin with. Throws Refusal. */
function elementAt(bytes) {
  if (bytes.length < 2 || (bytes[0] & 31) === 31) throw new Refusal("not DER");
  let [size, header] = [bytes[1], 2];
  if (size >= 0x80) {
    const count = size & 127;
    header += count;
    if (count < 1 || count > 4 || bytes.length < header) throw new Refusal("not DER");
    size = bytes.subarray(2, header).reduce((number, byte) => number * 256 + byte, 0);
    if (size < 0x80 || bytes[2] === 0) throw new Refusal("not DER: a length has two spellings");
  }
  if (bytes.length < header + size) throw new Refusal("not DER: it is cut off");
  return new Element(bytes.subarray(0, header + size), header);
}

/** The one element that the bytes are. Throws Refusal. */
function parsedDer(bytes) {
  const whole = elementAt(bytes);
  if (whole.raw.length !== bytes.length) throw new Refusal("not DER: something follows it");
  return whole;
}

/** Write an element. */
function der(tag, ...parts) {
  const content = joined(...parts);
  const size = content.length;
  if (size < 0x80) return joined(Uint8Array.of(tag, size), content);
  const digits = [];
  for (let rest = size; rest; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return joined(Uint8Array.of(tag, 0x80 | digits.length, ...digits), content);
}

const derSequence = (...parts) => der(TAG.sequence, ...parts);
/** A SET OF: DER sorts what is in it. */
const derSet = (tag, ...parts) => der(tag, ...parts.sort(compareBytes));

function derOid(text) {
  const [first, second, ...rest] = text.split(".").map(Number);
  const bytes = [40 * first + second, ...rest].flatMap((number) => {
    const digits = [number % 128];
    for (let left = Math.floor(number / 128); left; left = Math.floor(left / 128)) digits.unshift(128 | (left % 128));
    return digits;
  });
  return der(TAG.oid, Uint8Array.from(bytes));
}

/** The milliseconds of a UTCTime or GeneralizedTime (RFC 5280, 4.1.2.5). Throws Refusal. */
function timeOf(element) {
  const text = textOf(element.content);
  const isShort = element.tag === 0x17;
  if (!(isShort ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text) || ![0x17, 0x18].includes(element.tag)) {
    throw new Refusal("not a time");
  }
  const full = isShort ? (text < "50" ? "20" : "19") + text : text;
  const [year, month, day, hour, minute, second] = full.match(/^(\d{4})(..)(..)(..)(..)(..)/).slice(1).map(Number);
  const moment = Date.UTC(year, month - 1, day, hour, minute, second);
  if (shownTime(moment).replace(/\D/g, "") !== full.slice(0, 14)) throw new Refusal("not a time");
  return moment;
}
