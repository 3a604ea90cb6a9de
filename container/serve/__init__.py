"""The `serve` program: answers SageMaker's /ping and /invocations with the model in /opt/ml/model, or with several.

The path of a request, one file for each step:

    __main__ -> gunicorn_server   settings from the environment, then gunicorn with threads; drains on SIGTERM
    connections                   a request is collected before it takes a thread; its time begins at its first byte
    app                           routes and HTTP
    bodies, records               a body is read to its end; one of many records again, a window of them at a time
    service                       admission, deadline, the running model
    single_model, multi_model     the one model in /opt/ml/model; or several (model_routes), checked first (model_check)
    handler                       model_fn, input_fn, predict_fn, output_fn: ours, or those that the model brings
    streaming                     server-sent events, for those who ask for them
    batching                      pictures of concurrent requests share calls of the model

Beside it: page (the web page at /, off unless asked for), mathml (the formulas it shows), metrics (/metrics), openapi
(/openapi.json), client (has it hung up?), capture (a sample kept on disk), heap (memory that threads share).
"""
