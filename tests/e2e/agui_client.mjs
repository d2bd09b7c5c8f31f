// Runs an agent with AG-UI's JavaScript client: `agui_client.mjs URL WORKSPACE` prints what came of it as JSON.
import { HttpAgent } from "@ag-ui/client";

const [url, workspace] = process.argv.slice(2);
const agent = new HttpAgent({ url, threadId: "js", headers: { "X-Workspace": workspace } });
const types = [];
const note = { onEvent: ({ event }) => { types.push(event.type); } };

agent.addMessage({ id: "1", role: "user", content: "zq-prompt 1" });
await agent.runAgent({ runId: "r1" }, note);
agent.addMessage({ id: "2", role: "user", content: "zq-prompt 2" });
await agent.runAgent({ runId: "r2" }, note);

console.log(JSON.stringify({ types, messages: agent.messages.map(({ role, content }) => ({ role, content })) }));
