// The page: a timeline on one side, one moment of the document on the other.

import * as api from "./api.js"
import { author, clock, day, element, nameOf, whole, zone } from "./words.js"
import * as view from "./view.js"

const $ = (id) => document.getElementById(id)
const NOW = { at: "now", title: "Now", sequence: Infinity, time: null }
const PAGE = 50 // versions, and sessions, that are asked for at once,
const MOST = 1000 // and as many as one answer has
const VERSIONS = { auto: "Saved by itself", restore: "Before a restore", import: "Before an import" }

const state = {
  entries: [NOW],
  chosen: NOW,
  tab: "preview",
  against: null,
  older: { versions: null, sessions: null },
  work: 0,
}

const say = (words, bad = false) => {
  $("status").textContent = words
  $("status").classList.toggle("bad", bad)
}

/** Run something that asks the server; say what went wrong, or ask for a token. */
const attempt = async (work) => {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error
    if (error.status === 401) {
      $("sign-in").hidden = false
      $("columns").hidden = true
    }
    say(error.message, true)
    return undefined
  }
}

// The timeline

const fromVersion = (version) => ({
  at: `v${version.id}`,
  title: version.label || VERSIONS[version.kind] || "Version",
  named: version.kind === "named",
  sequence: version.sequence,
  time: version.time,
  note: version.note,
  by: version.author || version.author_name ? { author: version.author, name: version.author_name } : null,
})

const fromSession = (session) => ({
  at: `s${session.last_sequence}`,
  title: nameOf(session),
  session: true,
  sequence: session.last_sequence,
  time: session.to,
  from: session.from,
  by: { author: session.author, name: session.name },
  size: `+${session.inserted} −${session.deleted}`,
})

const nextOf = (url, field) => (url ? new URL(url, location.origin).searchParams.get(field) : null)

/** As many as there are in the timeline by now, or a page more of what is older. */
const load = async (further = false) => {
  const { older } = state
  const named = $("only-named").checked
  const shown = (isSession) => state.entries.filter((entry) => Boolean(entry.session) === isSession).length
  const limit = (isSession) => (further ? PAGE : Math.min(MOST, Math.max(PAGE, shown(isSession))))
  const [versions, sessions] = await Promise.all([
    further && !older.versions ? { versions: [], next: null }
      : api.versions(further ? older.versions : null, named ? "named" : null, limit(false)),
    named || (further && !older.sessions) ? { sessions: [], next: null }
      : api.activity(further ? older.sessions : null, limit(true)),
  ])
  const found = [...versions.versions.map(fromVersion), ...sessions.sessions.map(fromSession)]
  const known = new Map((further ? state.entries : [NOW]).map((entry) => [entry.at, entry]))
  found.forEach((entry) => known.set(entry.at, entry))
  state.entries = [...known.values()].sort(
    (one, other) => other.sequence - one.sequence || (one.session ? 1 : 0) - (other.session ? 1 : 0))
  older.versions = nextOf(versions.next, "before")
  older.sessions = sessions.next
  state.chosen = known.get(state.chosen.at) || state.chosen // which is shown on, listed or not
  drawTimeline()
}

const drawTimeline = () => {
  const items = []
  let last = null
  for (const entry of state.entries) {
    if (entry.time && day(entry.time) !== last) {
      last = day(entry.time)
      items.push(element("li", { class: "day" }, last))
    }
    const button = element("button",
      { type: "button", "data-at": entry.at, "aria-current": String(entry === state.chosen) },
      entry.session ? author(entry.by) : element("strong", {}, element("bdi", {}, entry.title)),
      " ", element("small", {}, detail(entry)))
    button.addEventListener("click", () => choose(entry))
    items.push(element("li", {}, button))
  }
  $("timeline").replaceChildren(...items)
  $("more").hidden = !state.older.versions && !state.older.sessions
}

const detail = (entry) => {
  if (entry === NOW) return "the present state"
  if (entry.session) {
    const from = clock(entry.from)
    const to = clock(entry.time)
    return `${from === to ? to : `${from} to ${to}`}, ${entry.size}`
  }
  return [clock(entry.time), ...(entry.by ? [", ", element("bdi", {}, nameOf(entry.by))] : [])]
}

// One moment

const choose = (entry) => {
  state.chosen = entry
  state.against = null
  for (const button of $("timeline").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.at === entry.at))
  }
  $("head").scrollIntoView({ block: "nearest" })
  return show()
}

/** What came before; of now also not what is the same. */
const earlier = () => {
  const newest = Math.max(...state.entries.filter((entry) => entry !== NOW).map((each) => each.sequence))
  const border = state.chosen === NOW ? newest : state.chosen.sequence
  return state.entries.filter((entry) => entry.sequence < border)
}

const drawChoices = () => {
  const choices = earlier()
  $("against-label").hidden = state.tab !== "diff"
  $("against").replaceChildren(...choices.map((entry) =>
    element("option", { value: entry.at }, `${entry.title}, ${whole(entry.time)}`)),
  element("option", { value: "s0" }, "the beginning"))
  if (!state.against) state.against = choices.length ? choices[0].at : "s0"
  $("against").value = state.against
}

const rich = async (at) => (at === "s0" ? {} : (await api.content(at, "rich")).roots)

const DRAW = {
  preview: async (at) => view.preview(await rich(at)),
  diff: async (at) => {
    const [diff, before] = await Promise.all([api.diff(state.against, at), rich(state.against)])
    return view.diff(diff.roots, before)
  },
  blame: async (at) => view.blame((await api.blame(at)).roots),
}

const show = () => attempt(async () => {
  const { chosen, tab } = state
  const work = ++state.work
  $("moment").textContent = chosen === NOW ? "Now" : chosen.title
  $("moment-note").textContent = [chosen.time && whole(chosen.time), chosen.note].filter(Boolean).join(". ")
  $("restore").disabled = chosen === NOW
  for (const name of Object.keys(DRAW)) {
    const button = $(`tab-${name}`)
    button.setAttribute("aria-selected", String(name === tab))
    button.tabIndex = name === tab ? 0 : -1
  }
  $("view").setAttribute("aria-labelledby", `tab-${tab}`)
  $("view").setAttribute("aria-busy", "true")
  drawChoices()
  try {
    const drawn = await DRAW[tab](chosen.at)
    if (work === state.work) $("view").replaceChildren(...drawn)
  } catch (error) {
    if (work === state.work) $("view").replaceChildren(element("p", {}, error.message))
    throw error
  } finally {
    if (work === state.work) $("view").removeAttribute("aria-busy")
  }
})

// What can be done

const askToRestore = () => attempt(async () => {
  const { chosen } = state
  const roots = Object.keys(await rich(chosen.at)).sort()
  $("confirm-text").textContent =
    `The document becomes what it was on ${whole(chosen.time)}. Everybody who has it open sees ` +
    "that as an edit of yours. What it is now is kept as a version."
  $("root").replaceChildren(element("option", { value: "" }, "The whole document"),
    ...roots.map((name) => element("option", { value: name }, `Only “${name}”`)))
  $("confirm").returnValue = ""
  $("confirm").showModal()
})

const restored = () => attempt(async () => {
  if ($("confirm").returnValue !== "restore") return
  say("Restoring …")
  const done = await api.restore(state.chosen.at, $("root").value)
  await load()
  await choose(NOW)
  say(done.changed ? "Restored. What was there before is a version of its own now."
    : "Nothing to restore: the document is in that state.")
})

const name = () => attempt(async () => {
  const version = await api.create($("label").value)
  $("label").value = ""
  await load()
  await choose(state.entries.find((entry) => entry.at === `v${version.id}`) || NOW)
  say("The version is saved.")
})

/** Somebody comes back to the page: others may have edited meanwhile. */
const refresh = async () => {
  const newest = () => Math.max(0, ...state.entries.filter((entry) => entry !== NOW).map((each) => each.sequence))
  const before = newest()
  await load()
  if (state.chosen === NOW && newest() > before) await show()
}

const start = () => attempt(async () => {
  say("")
  await load()
  $("sign-in").hidden = true
  $("columns").hidden = false
  await show()
})

const tabs = Object.keys(DRAW)
const turn = (tab) => {
  state.tab = tab
  return show()
}
tabs.forEach((tab, place) => {
  $(`tab-${tab}`).addEventListener("click", () => turn(tab))
  $(`tab-${tab}`).addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!step) return
    const other = tabs[(place + step + tabs.length) % tabs.length]
    $(`tab-${other}`).focus()
    turn(other)
  })
})
$("against").addEventListener("change", () => {
  state.against = $("against").value
  show()
})
$("timeline").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
  if (!step) return
  event.preventDefault()
  const buttons = [...$("timeline").querySelectorAll("button")]
  buttons[buttons.indexOf(event.target) + step]?.focus()
})
$("restore").addEventListener("click", askToRestore)
$("confirm").addEventListener("close", restored)
$("naming").addEventListener("submit", (event) => {
  event.preventDefault()
  name()
})
$("only-named").addEventListener("change", () => attempt(() => load()))
$("more").addEventListener("click", () => attempt(() => load(true)))
$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault()
  api.useToken($("token").value)
  start()
})
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !$("columns").hidden) attempt(refresh)
})

api.takeToken()
document.title = `History of ${api.documentName}`
$("document").textContent = api.documentName
$("zone").textContent = `Times are those of ${zone}.`
start()
