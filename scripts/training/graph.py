"""The family as ONNX graphs, with the contract that the engine reads from their metadata.

Operators are plain ones of opset 17 and weights lie in the file: what every runtime reads. A graph does not normalise; the
engine does, by the contract. Every model ends in `probabilities`, `[batch, 3]`; the engine's batch is 1.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from judge import CLASS_COUNT
from nets import LSTM_HIDDEN, TCN_DILATIONS
from tables import CLIP, HORIZON

CLASSES = ["down", "flat", "up"]
OUTPUT = "probabilities"


class Graph:
    """Nodes and weights as they are added; names begin with a prefix, so that several models fit into one graph."""

    def __init__(self):
        self.nodes, self.initializers, self.prefix = [], [], ""

    def node(self, op, inputs, output, domain="", **attributes):
        output = self.prefix + output
        name = f"{output}.{op}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, domain=domain, **attributes))
        return output

    def constant(self, name, values):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), self.prefix + name))
        return self.prefix + name

    def dense(self, net, value):
        """The dense layers of a net, ReLU between them, and the softmax."""
        layers = sum(name.startswith("dense") and name.endswith("weight") for name in net)
        for layer in range(layers):
            weight = self.constant(f"dense{layer}.weight", net[f"dense{layer}.weight"])
            bias = self.constant(f"dense{layer}.bias", net[f"dense{layer}.bias"])
            value = self.node("Gemm", [value, weight, bias], f"dense{layer}")
            if layer + 1 < layers:
                value = self.node("Relu", [value], f"hidden{layer}")
        return self.node("Softmax", [value], OUTPUT, axis=-1)

    def lstm(self, net, value):
        """`[batch, window, features]` through the recurrence; the last hidden state through the dense layer."""
        rows = self.node("Transpose", [value], "rows", perm=[1, 0, 2])
        bias = np.concatenate([net["lstm.bias"], np.zeros_like(net["lstm.bias"])])
        inputs = [
            rows,
            self.constant("lstm.weight", net["lstm.weight"].T[None]),
            self.constant("lstm.recurrence", net["lstm.recurrence"].T[None]),
            self.constant("lstm.bias", bias[None]),
        ]
        outputs = ["", self.prefix + "hidden"]
        self.nodes.append(helper.make_node("LSTM", inputs, outputs, name=self.prefix + "lstm", hidden_size=LSTM_HIDDEN))
        hidden = self.node("Squeeze", ["hidden", self.constant("direction", np.array([0], np.int64))], "state")
        return self.dense(net, hidden)

    def tcn(self, net, value):
        """Causal convolutions over the window. Nothing is padded: each layer is as much shorter as it looks back, and of
        the last one the newest row is left."""
        value = self.node("Transpose", [value], "channels", perm=[0, 2, 1])
        for layer, dilation in enumerate(TCN_DILATIONS):
            weight = net[f"conv{layer}.weight"]
            kernel = weight.reshape(3, -1, weight.shape[1]).transpose(2, 1, 0)
            inputs = [
                value,
                self.constant(f"conv{layer}.weight", kernel),
                self.constant(f"conv{layer}.bias", net[f"conv{layer}.bias"]),
            ]
            shape = {"kernel_shape": [3], "dilations": [dilation], "strides": [1], "pads": [0, 0]}
            value = self.node("Relu", [self.node("Conv", inputs, f"conv{layer}", **shape)], f"active{layer}")
        newest = self.node("Squeeze", [value, self.constant("time", np.array([2], np.int64))], "newest")
        return self.dense(net, newest)

    def forest(self, forest, value):
        """All trees in one node; their scores become probabilities in it."""
        leaf = forest.feature < 0
        # Numbers of nodes begin with 0 in each tree.
        first = forest.roots[forest.tree]
        number = np.arange(len(forest.tree)) - first
        outputs = [self.prefix + "label", self.prefix + OUTPUT]
        self.nodes.append(
            helper.make_node(
                "TreeEnsembleClassifier",
                [value],
                outputs,
                name=self.prefix + "trees",
                domain="ai.onnx.ml",
                nodes_treeids=forest.tree.tolist(),
                nodes_nodeids=number.tolist(),
                nodes_featureids=np.where(leaf, 0, forest.feature).tolist(),
                nodes_values=forest.threshold.tolist(),
                nodes_modes=["LEAF" if is_leaf else "BRANCH_LEQ" for is_leaf in leaf],
                nodes_truenodeids=np.where(leaf, 0, forest.less - first).tolist(),
                nodes_falsenodeids=np.where(leaf, 0, forest.other - first).tolist(),
                class_treeids=forest.tree[leaf].tolist(),
                class_nodeids=number[leaf].tolist(),
                class_ids=(forest.tree[leaf] % CLASS_COUNT).tolist(),
                class_weights=forest.score[leaf].tolist(),
                classlabels_int64s=list(range(CLASS_COUNT)),
                post_transform="SOFTMAX",
            )
        )
        return outputs[1]

    def vote(self, parts, value):
        """Weighted probabilities of several models on the same row. `parts`: name, weight, and what adds the model."""
        votes = []
        for name, weight, add in parts:
            self.prefix = f"{name}."
            answer = add(value)
            votes.append(self.node("Mul", [answer, self.constant("share", np.array([weight], np.float32))], "vote"))
        self.prefix = ""
        return self.node("Sum", votes, OUTPUT)

    def file(self, name, window, contract):
        """The bytes of the file."""
        features = len(contract["features"])
        shape = ["batch", features] if window == 1 else ["batch", window, features]
        opsets = [helper.make_opsetid("", 17)]
        if any(node.domain for node in self.nodes):
            opsets.append(helper.make_opsetid("ai.onnx.ml", 3))
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", CLASS_COUNT])],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=opsets, producer_name="quantumflow")
        model.ir_version = 8
        helper.set_model_props(model, {"quantumflow.contract": json.dumps(contract, separators=(",", ":"))})
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString(deterministic=True)


def contract(name, version, features, scaling, window, alpha, training):
    """What the engine has to know: engine/src/model/contract.rs says what each field means."""
    return {
        "schema": 1,
        "name": name,
        "version": version,
        "features": [
            {"name": feature, "version": int(number), "mean": float(mean), "scale": float(scale)}
            for (feature, number), mean, scale in zip(features, scaling.mean, scaling.scale)
        ],
        "clip": CLIP,
        "window": window,
        "output": OUTPUT,
        "classes": CLASSES,
        "label": {"variant": "fi2010", "smooth_updates": 0, "horizon_updates": HORIZON, "alpha": alpha},
        "training": training,
    }
