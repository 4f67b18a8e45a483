// Runs one of the functions as Lambda does: it requests events from this stand-in of the Runtime API, and DynamoDB and KMS are other processes.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

export class LambdaFunction {
  /** Starts the function of this name; `aws` is the port of the local DynamoDB of `cargo portal --aws-port`. */
  static async start(name, aws) {
    const started = new LambdaFunction();
    started.server = createServer((request, response) => started.#runtimeApi(request, response)).listen(0, "127.0.0.1");
    await once(started.server, "listening");
    const at = (nth) => `http://127.0.0.1:${aws + nth}`;
    const env = {
      AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${started.server.address().port}`,
      AWS_LAMBDA_FUNCTION_NAME: name,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "1769",
      AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
      AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH: "true",
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "local",
      AWS_SECRET_ACCESS_KEY: "local",
      AWS_ENDPOINT_URL_DYNAMODB: at(0),
      AWS_ENDPOINT_URL_KMS: at(1),
      TABLE: "vestibule",
      AUDIT_TABLE: "vestibule-audit",
      KMS_KEY_ID: "alias/vestibule",
      PORTALS_DIR: `${root}infra/portals`,
    };
    started.process = spawn(`${root}target/release/${name}`, [], { env, stdio: ["ignore", "ignore", "inherit"] });
    await started.#ready();
    return started;
  }

  /** Resolves when the function requests an event. */
  #ready() {
    return this.waiting ? Promise.resolve() : new Promise((resolve) => (this.isReady = resolve));
  }

  async #runtimeApi(request, response) {
    if (request.url.endsWith("/invocation/next")) {
      this.waiting = response;
      return this.isReady?.();
    }
    let body = "";
    for await (const chunk of request) body += chunk;
    response.writeHead(202).end();
    this.responded(JSON.parse(body));
  }

  /** Gives the function an event of API Gateway and returns its response. The function has then requested the next event. */
  async call(event) {
    const responded = new Promise((resolve) => (this.responded = resolve));
    const waiting = this.waiting;
    this.waiting = undefined;
    const headers = { "lambda-runtime-aws-request-id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "lambda-runtime-deadline-ms": `${Date.now() + 60_000}`, "lambda-runtime-invoked-function-arn": "arn:aws:lambda:us-east-1:123456789012:function:measured" };
    waiting.writeHead(200, headers).end(JSON.stringify(event));
    const response = await responded;
    await this.#ready();
    return response;
  }

  stop() {
    this.process.kill();
    this.server.close();
  }
}

/** The event of a POST request, as a REST API of API Gateway sends it. The body is JSON, or a text of the type in `more`. */
export function post(resource, portal, source, body, more = {}) {
  const headers = { accept: "application/json", "content-type": "application/json", host: "localhost", ...more };
  const path = resource.replace("{portal}", portal);
  return {
    resource, path, httpMethod: "POST", headers,
    multiValueHeaders: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    queryStringParameters: null, multiValueQueryStringParameters: null,
    pathParameters: { portal }, stageVariables: null,
    requestContext: {
      resourcePath: resource, httpMethod: "POST", path: `/live${path}`, stage: "live", protocol: "HTTP/1.1",
      requestId: "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", accountId: "123456789012", apiId: "1234567890",
      identity: { sourceIp: source, userAgent: "a measurement" },
    },
    body: typeof body === "string" ? body : JSON.stringify(body), isBase64Encoded: false,
  };
}
