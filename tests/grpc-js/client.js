// The official gRPC client of Node.js: node client.js SOCKET WHAT prints as JSON what it saw. What is to be seen is in
// tests/system/test_grpc_js.py.

"use strict";

const http2 = require("http2");
const path = require("path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");

const API = path.join(__dirname, "../../api");
const OPTIONS = { includeDirs: [API], longs: Number, enums: String, defaults: true, oneofs: true };
const [socket, what] = process.argv.slice(2);

function load(file) {
  return grpc.loadPackageDefinition(loader.loadSync(file, OPTIONS));
}

function connect(Service, options = {}) {
  return new Service(`unix:${socket}`, grpc.credentials.createInsecure(), options);
}

function sluice(options) {
  return connect(load("sluice.proto").sluice.v1.Sluice, options);
}

function health(options) {
  return connect(load("grpc/health/v1/health.proto").grpc.health.v1.Health, options);
}

function seconds(count) {
  return { deadline: new Date(Date.now() + count * 1000) };
}

// The answer of a unary call, or its error.
function call(client, method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve) => {
    client[method](request, metadata, seconds(40), (error, answer) =>
      resolve(error ? { code: error.code, text: error.details, metadata: error.metadata } : answer));
  });
}

// All messages of a stream and how it ended; `each` may end it.
function collect(stream, each = () => {}) {
  return new Promise((resolve) => {
    const messages = [];
    let end = { code: 0 };
    stream.on("data", (message) => {
      messages.push(message);
      each(message, messages.length);
    });
    stream.on("error", (error) => {
      end = { code: error.code, text: error.details };
      resolve({ messages, ...end });
    });
    stream.on("end", () => resolve({ messages, ...end }));
  });
}

function network(name, fields = {}) {
  return { network: { name, ...fields } };
}

const TESTS = {
  async objects() {
    const client = sluice();
    const version = await call(client, "Version", {});
    const applied = await call(client, "Apply", { objects: [network("js-a", { mtu: 1400 })] });
    const got = await call(client, "Get", { kind: "network", name: "js-a" });
    const deleted = await call(client, "Delete", { kind: "network", name: "js-a" });
    const gone = await call(client, "Get", { kind: "network", name: "js-a" });
    return {
      node: version.node,
      changes: applied.changes.map((change) => [change.kind, change.name, change.action]),
      mtu: got.objects[0].network.mtu,
      revisions: deleted.revision - applied.revision,
      gone: gone.code,
    };
  },

  async many() {
    const client = sluice();
    const answers = await Promise.all(Array.from({ length: 500 }, () => call(client, "Stats", {})));
    const objects = Array.from({ length: 20000 }, (_, i) => network(`js-large-${i}`));
    const large = await call(client, "Apply", { objects, dryRun: true });
    return { answers: answers.filter((answer) => answer.connections).length, changes: large.changes.length };
  },

  async streams() {
    const flows = await collect(sluice().Flows({}, seconds(40)));
    const watch = health().Watch({}, seconds(40));
    const cancelled = await collect(watch, () => watch.cancel());
    const late = await collect(health().Watch({}, seconds(5)));
    return {
      flows: flows.code,
      cancelled: cancelled.code,
      late: late.code,
      states: [...cancelled.messages, ...late.messages].map((message) => message.status),
    };
  },

  async health() {
    const client = health();
    const whole = await call(client, "Check", {});
    const service = await call(client, "Check", { service: "sluice.v1.Sluice" });
    const unknown = await call(client, "Check", { service: "sluice.v1.Nothing" });
    const list = await call(client, "List", {});
    return {
      states: [whole.status, service.status],
      unknown: unknown.code,
      list: Object.fromEntries(Object.entries(list.statuses).map(([name, state]) => [name, state.status])),
    };
  },

  // A client that knows nothing of Sluice: all that it calls with comes from reflection.
  async reflection() {
    const result = {};
    for (const version of ["v1", "v1alpha"]) {
      const file = load("grpc/reflection/v1/reflection.proto").grpc.reflection.v1.ServerReflection;
      const service = Object.fromEntries(Object.entries(file.service).map(([name, method]) =>
        [name, { ...method, path: method.path.replace(".v1.", `.${version}.`) }]));
      const client = connect(grpc.makeGenericClientConstructor(service, "ServerReflection"));
      const stream = client.ServerReflectionInfo(seconds(40));
      // The second question depends on the answer to the first.
      const ended = collect(stream, (answer, count) => {
        if (count === 1) {
          stream.write({ fileContainingSymbol: answer.listServicesResponse.service[0].name });
          stream.write({ fileByFilename: "nothing.proto" });
        }
        if (count === 3) stream.end();
      });
      stream.write({ listServices: "" });
      const { code, messages } = await ended;
      const packed = messages[1].fileDescriptorResponse.fileDescriptorProto[0];
      const writer = protobuf.Writer.create();
      const set = writer.uint32(10).bytes(packed).finish();
      const learned = grpc.loadPackageDefinition(loader.loadFileDescriptorSetFromBuffer(Buffer.from(set), OPTIONS));
      const answer = await call(connect(learned.sluice.v1.Sluice), "Version", {});
      result[version] = {
        code,
        services: messages[0].listServicesResponse.service.map((entry) => entry.name),
        error: messages[2].errorResponse.errorCode,
        node: answer.node,
      };
    }
    return result;
  },

  async details() {
    const client = sluice();
    const answer = await call(client, "Apply", { objects: [network("js-ü", { vrf: "nowhere" }), network("js-b")] });
    const root = new protobuf.Root();
    root.resolvePath = (_, target) => path.join(API, target);
    root.loadSync(["rpc_status.proto", "google/rpc/error_details.proto", "sluice.proto"]);
    const status = root.lookupType("sluice.rpc.Status").decode(answer.metadata.get("grpc-status-details-bin")[0]);
    const details = status.details.map((detail) => {
      const type = detail.typeUrl.replace("type.googleapis.com/", "");
      return [type, root.lookupType(type).decode(detail.value).toJSON()];
    });
    return { code: answer.code, text: answer.text, status: [status.code, status.message], details };
  },

  async compression() {
    const answer = await call(sluice({ "grpc.default_compression_algorithm": 2 }), "Version", {});
    const session = http2.connect("http://localhost", { createConnection: () => require("net").connect(socket) });
    const request = session.request({
      ":method": "POST", ":path": "/sluice.v1.Sluice/Version", "content-type": "application/grpc",
      te: "trailers", "grpc-encoding": "gzip",
    });
    const headers = await new Promise((resolve) => {
      request.on("response", resolve);
      request.end(Buffer.from([1, 0, 0, 0, 0]));
    });
    session.destroy();
    return { code: answer.code, status: headers["grpc-status"], accepted: headers["grpc-accept-encoding"] };
  },

  async limits() {
    const client = sluice();
    const metadata = new grpc.Metadata();
    metadata.set("much", "x".repeat(15000));
    metadata.set("more", "y".repeat(2000));
    const headers = await call(client, "Version", {}, metadata);
    const message = await call(client, "Get", { kind: "network", name: "x".repeat(65 << 20) });
    const fine = await call(client, "Version", {});
    return { headers: headers.code, message: message.code, node: fine.node };
  },

  // A client that pings all the time and has nothing to say.
  async pings() {
    const client = health({ "grpc.keepalive_time_ms": 100, "grpc.keepalive_timeout_ms": 5000 });
    const ended = await collect(client.Watch({}, seconds(40)));
    return { code: ended.code, text: ended.text, node: (await call(sluice(), "Version", {})).node };
  },
};

TESTS[what]().then((result) => {
  console.log(JSON.stringify(result));
  process.exit(0);
});
