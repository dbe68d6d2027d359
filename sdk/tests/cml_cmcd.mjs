// Says what Common Media Library's validator finds wrong with the CMCD body on standard input, as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.argv[2] + "/package.json"));
const { validateCmcdEvents } = await import(pathToFileURL(require.resolve("@svta/cml-cmcd")));
const { valid, issues } = validateCmcdEvents(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify({ valid, issues }));
