"""Programs of the services that serve.py loads."""

SERVICE = """
import sys
from passerby.serving.server import serve
from passerby.serving.settings import ServeSettings
settings = ServeSettings(requests_per_minute=10**9)
serve(sys.argv[1], port=0, settings=settings, started=lambda address: print(address, flush=True))
"""
OTHERS = """
import base64, io, socket, sys
import faiss, numpy as np, onnxruntime
from PIL import Image

class Model:
    def __init__(self, folder, model):
        self.session = onnxruntime.InferenceSession(model)
        vectors = np.load(folder + "/vectors.npy")
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(vectors)

    def identify(self, images):
        both = np.stack([side for pixels in images for side in (pixels, pixels[:, ::-1])])
        vectors = self.session.run(None, {self.session.get_inputs()[0].name: both})[0]
        queries = vectors[::2] + vectors[1::2]
        similarities, rows = self.index.search(queries / np.linalg.norm(queries, axis=1, keepdims=True), 100)
        return [
            {"label": str(row[0] % 2000), "distance": float(1 - similarity[0])}
            for similarity, row in zip(similarities, rows)
        ]

def decode(file):
    return np.asarray(Image.open(file).convert("RGB"))

def listen():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener
"""
PLAIN = (
    OTHERS
    + """
import uvicorn
from fastapi import FastAPI, UploadFile

model = Model(*sys.argv[1:])
app = FastAPI()

@app.post("/v1/identify")
def identify(images: UploadFile):
    return model.identify([decode(images.file)])[0]

listener = listen()
listener.listen(128)
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[listener])
"""
)
LITSERVE = (
    OTHERS
    + """
import litserve

class Identify(litserve.LitAPI):
    def setup(self, device):
        self.people = Model(*sys.argv[1:])

    def decode_request(self, request):
        return decode(io.BytesIO(base64.b64decode(request["image"])))

    def batch(self, inputs):
        return inputs

    def predict(self, images):
        return self.people.identify(images)

    def unbatch(self, outputs):
        return outputs

    def encode_response(self, output):
        return output

if __name__ == "__main__":
    with listen() as free:
        port = free.getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    server = litserve.LitServer(Identify(max_batch_size=16, api_path="/v1/identify"), accelerator="cpu", devices=1)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)
"""
)
