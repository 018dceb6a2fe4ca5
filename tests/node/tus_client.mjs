// Uploads a file by tus: `node tus_client.mjs tus-js-client|uppy ENDPOINT FILE`.
//
// A line "pause" on stdin stops the upload for a moment. Prints one line of JSON at the end.

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

import Uppy from "@uppy/core";
import UppyTus from "@uppy/tus";
import * as tus from "tus-js-client";

const [client, endpoint, path] = process.argv.slice(2);
const content = await readFile(path);
const options = {
  endpoint,
  chunkSize: 4 * 2 ** 20,
  retryDelays: Array(60).fill(500),
  removeFingerprintOnSuccess: true,
};
const PAUSE_MS = 300;
let stop;
let goOn;

function finish(result) {
  console.log(JSON.stringify(result));
  process.exit(result.error === undefined ? 0 : 1);
}

function byTus() {
  const upload = new tus.Upload(content, {
    ...options,
    metadata: { filename: "naïve.bin", filetype: "application/x-thing" },
    onError: (error) => finish({ error: String(error) }),
    onSuccess: ({ lastResponse }) => finish({ file: lastResponse.getHeader("Exai-File") }),
  });
  stop = () => upload.abort();
  goOn = () => upload.start();
  upload.start();
}

function byUppy() {
  const uppy = new Uppy({ allowMultipleUploadBatches: false });
  let file;
  uppy.use(UppyTus, {
    ...options,
    onAfterResponse: (_, response) => {
      file = response.getHeader("Exai-File") ?? file;
    },
  });
  uppy.on("upload-error", (_, error) => finish({ error: String(error) }));
  uppy.on("upload-success", () => finish({ file }));
  stop = () => uppy.pauseAll();
  goOn = () => uppy.resumeAll();
  uppy.addFile({ name: "naïve.bin", type: "application/x-thing", data: Object.assign(content, { size: content.length }) });
  uppy.upload();
}

createInterface({ input: process.stdin }).on("line", () => {
  stop();
  setTimeout(goOn, PAUSE_MS);
});
(client === "uppy" ? byUppy : byTus)();
