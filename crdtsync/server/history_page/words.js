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

export const day = (time) => DAY.format(new Date(time))
export const clock = (time) => CLOCK.format(new Date(time))
export const whole = (time) => WHOLE.format(new Date(time))

/** One colour for one author, whatever page and whatever day. */
export const hue = (id) => {
  let hash = 2166136261
  for (const unit of id || "") hash = Math.imul(hash ^ unit.codePointAt(0), 16777619)
  return (hash >>> 0) % 360
}

export const nameOf = (by) => (by && (by.name || by.author)) || "Somebody"
export const told = (by) => (by ? `${nameOf(by)}, ${whole(by.time)}` : "")

export const author = (by) =>
  element("span", { class: "author", hue: hue(by.author), title: by.author || "" }, nameOf(by))

export const by = (who) => (who ? element("span", { class: "by" }, ` ${told(who)}`) : null)

/** A value as people write it in code. */
export const value = (any) =>
  element("span", { class: "value" }, typeof any === "string" ? any : JSON.stringify(any, null, 1))
