// A conversation by the TypeScript SDK's WebSocket client, led by lines of JSON on stdin:
//   {"tool": NAME, "arguments": {…}}   → {"result": {…}, "progress": [{…}, …]} or {"error": {"code", "message"}}
//   {"list": true}                     → {"tools": [NAME, …]}
//   {"resources": true}                → {"uris": [URI, …]}
//   {"read": URI}                      → {"text": TEXT, or bytes in base64} or {"error": {"code", "message"}}
// Its first line on stdout says whom it has met: {"server": {…}, "instructions": TEXT}
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const client = new Client({ name: "typescript-websocket", version: "1.0.0" });
await client.connect(new WebSocketClientTransport(new URL(process.argv[2])));
say({ server: client.getServerVersion(), instructions: client.getInstructions() });

async function answer(asked) {
  if (asked.list) {
    const { tools } = await client.listTools();
    return { tools: tools.map((tool) => tool.name) };
  }
  if (asked.resources) {
    const { resources } = await client.listResources();
    return { uris: resources.map((resource) => resource.uri) };
  }
  if (asked.read) {
    const { contents } = await client.readResource({ uri: asked.read });
    return { text: contents.map((part) => part.text ?? part.blob).join("") };
  }
  const progress = [];
  const result = await client.callTool({ name: asked.tool, arguments: asked.arguments }, undefined, {
    onprogress: (heard) => progress.push(heard),
  });
  return { result, progress };
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(await answer(JSON.parse(line)));
  } catch (error) {
    say({ error: { code: error.code, message: error.message } });
  }
}
await client.close();
