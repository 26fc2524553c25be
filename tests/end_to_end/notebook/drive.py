"""Runs cells in two real kernels, with the plugin from PyPI, and prints what they showed as JSON.

Runs in the notebook's own environment (requirements.txt), with the plugin's settings in the environment.
What the plugin sends its SQL to is a stand-in for a SQLFlow server: it takes the data source out of the
session that the plugin sends along, as the real one does, and asks that database.
"""

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import google.protobuf.wrappers_pb2 as wrappers
import grpc
import pymysql
import sqlflow.proto.sqlflow_pb2 as messages
import sqlflow.proto.sqlflow_pb2_grpc as services
from jupyter_client.manager import start_new_kernel

DSN = re.compile(r"mysql://(\w+):(\w+)@tcp\((.+):(\d+)\)/")


class StandIn(services.SQLFlowServicer):
    """Answers a statement with its rows, as text."""

    def Run(self, request, context):
        user, password, host, port = DSN.match(request.session.db_conn_str).groups()
        connection = pymysql.connect(host=host, port=int(port), user=user, password=password, autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(request.sql.strip().rstrip(";"))
            if cursor.description:
                names = [column[0] for column in cursor.description]
                yield messages.Response(head=messages.Head(column_names=names))
            for found in cursor.fetchall():
                row = messages.Row()
                for value in found:
                    row.data.add().Pack(wrappers.StringValue(value=str(value)))
                yield messages.Response(row=row)


def shown(client, code):
    """The outputs of a cell: text results, streams and the errors' last words."""
    outputs = []

    def heard(message):
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                outputs.append(content["text"])
            case "display_data" | "execute_result":
                outputs.append(content["data"].get("text/plain", ""))
            case "error":
                outputs.append(f"{content['ename']}: {content['evalue']}")

    client.execute_interactive(code, timeout=60, output_hook=heard)
    return outputs


def main():
    server = grpc.server(ThreadPoolExecutor(2))
    services.add_SQLFlowServicer_to_server(StandIn(), server)
    os.environ["SQLFLOW_SERVER"] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    kernels = [start_new_kernel() for _ in range(2)]
    try:
        print(json.dumps([shown(kernels[number][1], code) for number, code in json.load(sys.stdin)]))
    finally:
        for manager, client in kernels:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        server.stop(None)


if __name__ == "__main__":
    main()
