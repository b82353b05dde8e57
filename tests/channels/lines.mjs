// Runs the lines of docs/chat.md on a document, and says what they leave there.
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../interop/", import.meta.url));
const Y = require("yjs");
const { lines } = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const doc = new Y.Doc();
const fields = {};
const provider = { awareness: { setLocalStateField: (name, value) => (fields[name] = value) } };
const said = new Function("doc", "provider", "me", `${lines}
  send("first", 1700000000000); send("second", 1700000000001)
  const [[one], [two]] = messages()
  edit(one, "changed"); react(one, "👍"); read(two); remove(two); typing(true)
  return messages()`)(doc, provider, "ann");
const update = Buffer.from(Y.encodeStateAsUpdate(doc)).toString("base64");
const id = said[0][0];
doc.getMap("chat").set(id, { ...said[0][1], author: "bob" });
new Function("doc", "provider", "me", "id", `${lines}; remove(id)`)(doc, provider, "ann", id);
const moderated = [id, doc.getMap("chat").get(id)];
const early = Date.now() + 3600000;
const ahead = new Function("doc", "provider", "me", "early", `${lines}
  send("ahead", early); send("ahead, too", early)
  const [one, two] = [...chat.keys()].sort()
  edit(one, "changed"); remove(two)
  return [chat.get(one).edited - early, chat.get(two).deleted - early]`)(new Y.Doc(), provider, "ann", early);
console.log(JSON.stringify({ said, fields, update, moderated, ahead }));
