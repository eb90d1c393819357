-- What is over is deleted in this order.
create index requests_ended on sallyport.requests (ended) where status <> 'waiting';
