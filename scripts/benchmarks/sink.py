"""A Collector that takes whatever is pushed by gRPC, says so, and keeps nothing."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


class _TakeAll(grpc.GenericRpcHandler):
    def service(
        self,
        handler_call_details: grpc.HandlerCallDetails,  # noqa: ARG002 (it takes every method)
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        # No serializers: a request is bytes, and an empty message is an answer without complaints.
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")


def main() -> None:
    """Run until killed; the first line on stdout is the endpoint."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_TakeAll()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
