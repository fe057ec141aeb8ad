// Calls AWS KMS with the AWS SDK for JavaScript as the tests ask it to: a question and an answer a line, in JSON. Bytes are base64, times are seconds. The argument is
// how wrong the clock is, in milliseconds.
import * as kms from "@aws-sdk/client-kms";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const { version } = JSON.parse(readFileSync(new URL("node_modules/@aws-sdk/client-kms/package.json", import.meta.url)));

const skew = Number(process.argv[2] ?? 0);
const { now } = Date;
Date.now = () => now() + skew;

const clients = new Map();

function client({ region, id, secret }) {
  const name = JSON.stringify([region, id, secret]);
  if (!clients.has(name)) clients.set(name, new kms.KMSClient({ region, credentials: { accessKeyId: id, secretAccessKey: secret } }));
  return clients.get(name);
}

// plain is a value of the SDK as JSON has it.
function plain(value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Date) return value.getTime() / 1000;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== "$metadata")
      .map(([name, member]) => [name, plain(member)]),
  );
}

async function answer(question) {
  const { do: what, op, blobs } = question;
  if (what === "knows") return { knows: Object.keys(kms).flatMap((name) => /^(\w+)Command$/.exec(name)?.slice(1) ?? []), version };
  const input = { ...question.in };
  for (const name of blobs ?? []) input[name] = Buffer.from(input[name], "base64");
  try {
    if (what === "pages") {
      const pages = [];
      for await (const page of kms[`paginate${op}`]({ client: client(question), pageSize: question.size }, input)) pages.push(plain(page));
      return { pages };
    }
    const out = await client(question).send(new kms[`${op}Command`](input));
    return { out: plain(out), id: out.$metadata.requestId };
  } catch (e) {
    if (!(e instanceof kms.KMSServiceException)) return { trouble: String(e) };
    return { refusal: { code: e.name, message: e.message, class: e.constructor.name, status: e.$metadata.httpStatusCode, id: e.$metadata.requestId } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
}
