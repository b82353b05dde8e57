// Small things that every view needs: elements, times, authors and their colours.

/** Make an element; children may be strings. Text never becomes markup. */
export const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue
    if (name === "hue") made.style.setProperty("--hue", value)
    else if (name === "class") made.className = value
    else made.setAttribute(name, value === true ? "" : value)
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined))
  return made
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "full" })
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" })
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" })

/** Where the times of the page are those of the clock. */
export const zone = WHOLE.resolvedOptions().timeZone

export const day = (time) => DAY.format(new Date(time))
export const clock = (time) => CLOCK.format(new Date(time))
export const whole = (time) => WHOLE.format(new Date(time))

const SLOTS = 12 // colours that can be told apart
const taken = new Map() // authors to slots

/** An author's colour: the same on each page, unless it is another author's there. */
export const hue = (id) => {
  if (!taken.has(id)) {
    let hash = 2166136261
    for (const unit of id || "") hash = Math.imul(hash ^ unit.codePointAt(0), 16777619)
    let slot = (hash >>> 0) % SLOTS
    const others = new Set(taken.values())
    for (let tries = 0; others.has(slot) && tries < SLOTS; tries++) slot = (slot + 5) % SLOTS
    taken.set(id, slot)
  }
  return taken.get(id) * (360 / SLOTS)
}

export const nameOf = (by) => (by && (by.name || by.author)) || "Somebody"
export const told = (by) => (by ? `${nameOf(by)}, ${whole(by.time)}` : "")

export const author = (by) =>
  element("span", { class: "author", hue: hue(by.author), title: by.author || "" },
    element("bdi", {}, nameOf(by)))

export const by = (who) =>
  who
    ? element("span", { class: "by" }, " ", element("bdi", {}, nameOf(who)), ", ",
      element("span", { class: "time" }, whole(who.time)))
    : null

/** A value as people write it in code. */
export const value = (any) =>
  element("span", { class: "value" }, typeof any === "string" ? any : JSON.stringify(any, null, 1))
