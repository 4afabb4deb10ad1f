// Compiles Solidity sources that npm installed, with the solc that the same folder pins; nothing of it is committed.
//   node compile.mjs FOLDER OUT EVM_VERSION REMAPPING[,REMAPPING...] SOURCE...
// SOURCE is a path below node_modules, or a file of the folder itself. Writes {name: {abi, bytecode, linkReferences}}.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [folder, out, evmVersion, remappings, ...names] = process.argv.slice(2);
const solc = createRequire(path.join(folder, "package.json"))("solc");
const read = (name) => {
  const own = path.join(folder, name);
  return fs.readFileSync(fs.existsSync(own) ? own : path.join(folder, "node_modules", name), "utf8");
};
const input = {
  language: "Solidity",
  sources: Object.fromEntries(names.map((name) => [name, { content: read(name) }])),
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion,
    remappings: remappings ? remappings.split(",") : [],
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences"] } },
  },
};
const found = (name) => {
  try {
    return { contents: read(name) };
  } catch (error) {
    return { error: String(error) };
  }
};
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: found }));
const errors = (output.errors ?? []).filter((e) => e.severity === "error");
if (errors.length) {
  console.error(errors.map((e) => e.formattedMessage).join("\n"));
  process.exit(1);
}
const contracts = {};
for (const of of Object.values(output.contracts)) {
  for (const [name, c] of Object.entries(of)) {
    const { object, linkReferences } = c.evm.bytecode;
    if (object.length > (contracts[name]?.bytecode.length ?? 2)) {
      contracts[name] = { abi: c.abi, bytecode: "0x" + object, linkReferences };
    }
  }
}
fs.writeFileSync(out + ".part", JSON.stringify(contracts));
fs.renameSync(out + ".part", out);
