// Rich text: delta operations as elements, and the differences between two of them.

import { element, hue, told } from "./words.js"

const TAGS = {
  bold: "strong", b: "strong", strong: "strong",
  italic: "em", i: "em", em: "em",
  underline: "u", u: "u", strike: "s", s: "s", code: "code",
}
const LINKS = ["http:", "https:", "mailto:"]
const CONTEXT = 160 // characters that are shown beside a change, of longer text without one

const safeLink = (text) => {
  try {
    return LINKS.includes(new URL(text).protocol) ? text : null
  } catch {
    return null
  }
}

/** One piece of text, or an embed, with its formats. */
export const piece = (insert, attributes) => {
  let made =
    typeof insert === "string"
      ? document.createTextNode(insert)
      : element("span", { class: "embed" }, JSON.stringify(insert).slice(0, 80))
  const others = []
  for (const [name, given] of Object.entries(attributes || {})) {
    if (TAGS[name] && given) made = element(TAGS[name], {}, made)
    else if (name === "link" && safeLink(given)) {
      made = element("a", { href: given, rel: "noopener noreferrer", target: "_blank" }, made)
    } else if (given !== null) others.push(`${name}: ${JSON.stringify(given)}`)
  }
  return others.length ? element("span", { title: others.join("\n") }, made) : made
}

export const delta = (operations) =>
  element("div", { class: "text" }, operations.map((op) => piece(op.insert, op.attributes)))

/** Runs of text with who wrote each; `inside` draws a shared type that stands in the text. */
export const runs = (found, inside) =>
  element("div", { class: "text" }, found.map((run) =>
    element("span", { class: "run", hue: hue(run.by?.author), title: told(run.by) },
      run.inside ? inside(run.inside) : piece(run.text ?? run.embed))))

// Differences. The operations concern the older text, counted in UTF-16 units as here.

const lengthOf = (insert) => (typeof insert === "string" ? insert.length : 1)

/** Takes an older text apart, from its beginning on. */
class Older {
  constructor(operations) {
    this.left = (operations || []).map((op) => ({ ...op, length: lengthOf(op.insert) }))
  }

  get length() {
    return this.left.reduce((sum, each) => sum + each.length, 0)
  }

  take(count) {
    const taken = []
    while (count > 0 && this.left.length) {
      const first = this.left[0]
      if (first.length <= count) {
        taken.push(this.left.shift())
        count -= first.length
      } else {
        taken.push({ ...first, insert: first.insert.slice(0, count), length: count })
        this.left[0] = { ...first, insert: first.insert.slice(count), length: first.length - count }
        count = 0
      }
    }
    return taken
  }
}

const drawn = (pieces) => pieces.map((each) => piece(each.insert, each.attributes))

/** What stays as it is, without the middle of what is long. */
const unchanged = (pieces, isFirst, isLast) => {
  const part = new Older(pieces)
  const head = isFirst ? 0 : CONTEXT
  const tail = isLast ? 0 : CONTEXT
  const left = part.length - head - tail
  if (left <= CONTEXT) return drawn(pieces)
  const shown = drawn(part.take(head))
  part.take(left)
  const words = ` … ${left.toLocaleString()} characters unchanged … `
  return [...shown, element("span", { class: "skip" }, words), ...drawn(part.take(tail))]
}

const formats = (attributes) =>
  Object.entries(attributes).map(([name, to]) => `${name}: ${JSON.stringify(to)}`).join("\n")

/** The changes of a text; `before` is the older one, as delta. */
export const textDiff = (operations, before, inside) => {
  const older = new Older(before)
  const touched = operations.reduce((sum, op) => sum + (op.retain || op.delete || (op.inside ? 1 : 0)), 0)
  const rest = older.length - touched
  const all = rest > 0 ? [...operations, { retain: rest }] : operations
  const out = all.flatMap((op, place) => {
    if (op.inside) {
      const [then] = older.take(1)
      return [element("div", { class: "inside" }, inside(op.inside, then?.insert))]
    }
    if (op.retain && !op.attributes) {
      return unchanged(older.take(op.retain), place === 0, place === all.length - 1)
    }
    if (op.retain) {
      const pieces = older.take(op.retain)
      return [element("span",
        { class: "reformatted", title: `${formats(op.attributes)}\n${told(op.by)}` },
        pieces.map((each) => piece(each.insert, { ...each.attributes, ...op.attributes })))]
    }
    if (op.delete) return [element("del", { title: told(op.by) }, drawn(older.take(op.delete)))]
    return [element("ins", { hue: hue(op.by?.author), title: told(op.by) },
      piece(op.insert, op.attributes))]
  })
  return element("div", { class: "text" }, out)
}
