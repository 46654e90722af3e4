// Lambda's own client of its Runtime API comes with its image and not as a package, so this takes its place.
const invocations = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;

export async function serve(handler) {
  for (;;) {
    const invocation = await fetch(`${invocations}/next`);
    const id = invocation.headers.get("lambda-runtime-aws-request-id");
    const deadline = Number(invocation.headers.get("lambda-runtime-deadline-ms"));
    const context = { awsRequestId: id, getRemainingTimeInMillis: () => deadline - Date.now() };
    const answer = await handler(await invocation.json(), context);
    const reply = await fetch(`${invocations}/${id}/response`, { method: "POST", body: JSON.stringify(answer) });
    await reply.arrayBuffer();
  }
}
