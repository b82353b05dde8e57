// A document's roots as elements: what they hold, what has changed, who wrote it. The shapes are
// those of the JSON that the server answers with.

import { delta, runs, textDiff } from "./text.js"
import { author, by, element, hue, told, value } from "./words.js"

const KINDS = { text: "text", map: "map", array: "list", xml: "XML" }

const section = (name, kind, ...body) =>
  element("section", { "data-root": name },
    element("h3", {}, name || "(no name)", " ", element("small", {}, KINDS[kind] || kind)), ...body)

const nothing = (words) => element("p", { class: "nothing" }, words)

const each = (roots, draw, words) => {
  const names = Object.keys(roots).sort()
  if (!names.length) return [nothing(words)]
  return names.map((name) => section(name, roots[name].kind, draw(roots[name], name)))
}

const table = (entries, draw) =>
  entries.length
    ? element("table", {}, element("tbody", {}, entries.map(([key, any]) =>
        element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, draw(any))))))
    : nothing("Empty.")

const list = (items) =>
  items.length
    ? element("ol", { class: "elements" }, items.map((item) => element("li", {}, item)))
    : nothing("Empty.")

const tag = (name, attributes, who) =>
  element("span", { class: who === undefined ? "tag" : "tag run", hue: who && hue(who.author), title: told(who) },
    `<${[name, ...Object.entries(attributes).map(([key, any]) =>
      `${key}=${JSON.stringify(any?.value ?? any)}`)].join(" ")}>`)

// What it holds

const isText = (any) => Array.isArray(any?.delta) && any.kind === "text"
const isMap = (any) => any?.kind === "map" && any.value && typeof any.value === "object"
const isList = (any) => any?.kind === "array" && Array.isArray(any.value)
const isFragment = (any) => any?.kind === "xml" && Array.isArray(any.children)

/** A value, or a shared type for what it is. */
const held = (any) => {
  if (isText(any)) return delta(any.delta)
  if (isMap(any)) return table(Object.entries(any.value), held)
  if (isList(any)) return list(any.value.map(held))
  if (isFragment(any)) return any.children.length ? element("div", {}, any.children.map(node)) : nothing("Empty.")
  return value(any)
}

const node = (any) => {
  if (Array.isArray(any?.text)) return delta(any.text)
  if (any?.hook !== undefined) return element("div", {}, tag(any.hook, {}), held({ kind: "map", value: any.value }))
  if (any?.name === undefined) return held(any)
  return element("div", { class: "node" }, tag(any.name, any.attributes || {}),
    element("div", { class: "inside" }, (any.children || []).map(node)))
}

export const preview = (roots) => each(roots, held, "The document is empty.")

// Who wrote it

const blamed = (found) => {
  if (found.kind === "text") return runs(found.runs, blamed)
  if (found.kind === "map") return table(Object.entries(found.keys), signed)
  if (found.kind === "array") return list(found.elements.map(signed))
  return element("div", {}, found.nodes.length ? found.nodes.map(blamedNode) : nothing("Empty."))
}

const signed = (entry) => [
  entry.inside
    ? element("div", { class: "inside" }, blamed(entry.inside))
    : element("span", { class: "run", hue: hue(entry.by?.author), title: told(entry.by) }, value(entry.value)),
  by(entry.by),
]

const blamedNode = (found) => {
  const name = found.name ?? found.hook
  if (name === undefined) return blamed(found)
  return element("div", { class: "node" }, tag(name, found.attributes || {}, found.by),
    element("div", { class: "inside" }, (found.nodes || []).map(blamedNode)))
}

const people = (roots) => {
  const found = new Map()
  const look = (any) => {
    if (Array.isArray(any)) any.forEach(look)
    else if (any && typeof any === "object") {
      if (any.by && !found.has(any.by.author)) found.set(any.by.author, any.by)
      for (const [key, inner] of Object.entries(any)) if (key !== "value") look(inner)
    }
  }
  look(Object.values(roots))
  return [...found.values()]
}

export const blame = (roots) => [
  element("div", { class: "legend" }, people(roots).map(author)),
  ...each(roots, blamed, "The document is empty."),
]

// What has changed. Beside each change goes what it concerns: the older content.

const changed = (change, before) => {
  if (change.kind === "text") return textDiff(change.ops, before?.delta ?? before?.text, changed)
  if (change.kind === "map") return keys(change.keys, before?.value)
  const members = change.kind === "array" ? before?.value : before?.children
  return element("div", {},
    change.attributes && Object.keys(change.attributes).length
      ? keys(change.attributes, before?.attributes) : null,
    nested(change.ops, members || []))
}

const keys = (all, before) => table(Object.entries(all).map(([key, entry]) => [key, { key, entry }]),
  ({ key, entry }) => {
    if (entry.change === "inside") {
      return [element("div", { class: "inside" }, changed(entry.diff, before?.[key]))]
    }
    const parts = []
    if ("before" in entry) parts.push(element("del", {}, held(entry.before)), " ")
    if ("after" in entry) parts.push(element("ins", { hue: hue(entry.by?.author) }, held(entry.after)))
    return [...parts, by(entry.by)]
  })

/** The operations on an array, or on the nodes of XML. */
const nested = (operations, before) => {
  let place = 0
  const items = operations.flatMap((op) => {
    if (op.retain) {
      place += op.retain
      return [element("div", { class: "skip" }, `${op.retain} unchanged`)]
    }
    if (op.inside) {
      const then = before[place++]
      return [element("div", { class: "inside" },
        then?.name !== undefined ? tag(then.name, then.attributes || {}) : null,
        changed(op.inside, then))]
    }
    if (op.delete) {
      const gone = op.values || before.slice(place, place + op.delete)
      place += op.delete
      return gone.map((any) => element("div", {}, element("del", {}, node(any)), by(op.by)))
    }
    return op.insert.map((any) =>
      element("div", {}, element("ins", { hue: hue(op.by?.author) }, node(any)), by(op.by)))
  })
  return element("div", {}, items)
}

/** `before` are the older roots, as rich content. */
export const diff = (roots, before) =>
  each(roots, (change, name) => changed(change, before[name]), "Nothing has changed.")
