// A wallet as an extension injects it: announced by EIP-6963, its acts done by the test (window.walletActs).
{
  const provider = { request: ({ method, params }) => window.walletActs(method, params ?? []).then(unwrap) };
  const unwrap = (answer) => {
    if (answer.error) throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
    return answer.result;
  };
  const info = { uuid: "00000000-0000-4000-8000-000000000001", name: "Test wallet", icon: "data:,", rdns: "example.wallet" };
  const announce = () =>
    window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
  window.addEventListener("eip6963:requestProvider", announce);
}
