// The types of the page's modules, as their JSDoc comments declare them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

const path = name => fileURLToPath(new URL(name, import.meta.url));

it("the page's modules fit together", () => {
  try {
    execFileSync(process.execPath, [path("node_modules/typescript/bin/tsc"), "-p", path("../peer/src/frontends/web/page/jsconfig.json")]);
  } catch (error) {
    assert.fail(String(error.stdout));
  }
});
