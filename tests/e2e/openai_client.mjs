// Asks agents with OpenAI's JavaScript SDK: `openai_client.mjs BASE_URL WORKSPACE` prints what came of it as JSON.
import OpenAI from "openai";

const [baseURL, workspace] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "unused", defaultHeaders: { "X-Workspace": workspace } });
const messages = [{ role: "user", content: "zq-prompt" }];

const models = [];
for await (const model of client.models.list()) models.push(model.id);

const whole = await client.chat.completions.create({ model: "a", messages });

let streamed = "";
let usage = null;
const stream = await client.chat.completions.create({
  model: "a", messages, stream: true, stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}

const response = await client.responses.create({ model: "a", input: "zq-prompt" });
const followed = client.responses.stream({ model: "a", input: "zq-prompt", previous_response_id: response.id });
const kinds = [];
for await (const event of followed) kinds.push(event.type);
const last = await followed.finalResponse();

// The caller's own tools: runTools calls them and asks again with what came of it, streamed.
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
let called = null;
const runner = client.chat.completions.runTools({
  model: "b", messages, stream: true,
  tools: [{
    type: "function",
    function: {
      name: "weather", description: "The weather of a city.", parameters, parse: JSON.parse,
      function: (given) => { called = { finish: "tool_calls", name: "weather", arguments: given }; return "Sunny."; },
    },
  }],
});
const afterCall = await runner.finalContent();
const tools = [{ type: "function", name: "weather", parameters, strict: false }];
const asks = await client.responses.create({ model: "b", input: "zq-prompt", tools });
const answers = await client.responses.create({
  model: "b", tools, previous_response_id: asks.id,
  input: [{ type: "function_call_output", call_id: asks.output[0].call_id, output: "Rain." }],
});

let refused = null;
try {
  await client.chat.completions.create({ model: "nobody", messages });
} catch (error) {
  refused = { name: error.constructor.name, status: error.status, code: error.code, param: error.param };
}

console.log(JSON.stringify({
  models,
  whole: whole.choices[0].message.content,
  tokens: whole.usage.total_tokens,
  streamed,
  streamedTokens: usage?.total_tokens ?? null,
  response: response.output_text,
  last: last.output_text,
  sameConversation: last.conversation.id === response.conversation.id,
  kinds,
  called,
  afterCall,
  afterResponseCall: answers.output_text,
  refused,
}));
